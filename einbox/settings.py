"""The one settings module: everything comes from EINBOX_* variables.

docs/settings.md describes each name. A wrong or unknown value stops the start with a sentence.
"""

import os
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from einbox import __version__
from einbox.env import Env, HostPort, SettingsError, database_config
from einbox.keys import ensure_key_file, new_field_key, new_secret_key, parse_field_keys
from einbox.sealed import lacking, sqlite_needs

BASE_DIR = Path(__file__).resolve().parent.parent
env = Env(os.environ)

# --- state directory, addresses ----------------------------------------------------------------------------
HOME = Path(env.text("EINBOX_HOME") or BASE_DIR / "var").expanduser().absolute()
WEB = env.address("EINBOX_WEB", "127.0.0.1:8025")
SMTP = env.address("EINBOX_SMTP", "127.0.0.1:2525")
PUBLIC_URL = env.text("EINBOX_PUBLIC_URL", f"http://localhost:{WEB.port}").rstrip("/")
SMTP_HOSTNAME = env.mail_name("EINBOX_HOSTNAME", "localhost")
TLS_CERT, TLS_KEY = env.text("EINBOX_TLS_CERT"), env.text("EINBOX_TLS_KEY")
SMTP_CERT, SMTP_KEY = env.text("EINBOX_SMTP_CERT"), env.text("EINBOX_SMTP_KEY")
TRUSTED_PROXIES = env.networks("EINBOX_TRUSTED_PROXIES")
METRICS_TOKEN = env.text("EINBOX_METRICS_TOKEN")
DEMO = env.flag("EINBOX_DEMO", default=False)
HELP_LINE = env.text("EINBOX_HELP_LINE")  # whom to call when log-in fails: shown on the log-in pages


def is_loopback(address: HostPort) -> bool:
    """Whether only this machine can reach `address`; a name other than localhost counts as reachable."""
    if address.host == "localhost":
        return True
    try:
        return ip_address(address.host).is_loopback
    except ValueError:
        return False


DEMO_IS_LOCAL = (
    "This installation holds demo accounts, whose passwords lie in a file, so it only listens on this machine: "
    "EINBOX_WEB, EINBOX_SMTP and EINBOX_PUBLIC_URL must name localhost and EINBOX_TRUSTED_PROXIES must be empty. "
    "For real use start with a new EINBOX_HOME and a new database, and with EINBOX_DEMO empty (make run sets it to 1)."
)
_public = urlsplit(PUBLIC_URL)
if _public.scheme not in {"http", "https"} or not _public.hostname or _public.path:
    raise SettingsError("EINBOX_PUBLIC_URL must be http(s)://host[:port] without a path.")
HTTPS = _public.scheme == "https"
PUBLIC_HOST = _public.hostname
if not is_loopback(WEB) and not (HTTPS and (TLS_CERT or TRUSTED_PROXIES)):
    raise SettingsError(
        "EINBOX_WEB is reachable from other machines, so EINBOX_PUBLIC_URL must be https:// and either "
        "EINBOX_TLS_CERT and EINBOX_TLS_KEY or EINBOX_TRUSTED_PROXIES must be set."
    )
LOCAL_ONLY = (
    is_loopback(WEB) and is_loopback(SMTP) and PUBLIC_HOST in {"localhost", "127.0.0.1", "::1"} and not TRUSTED_PROXIES
)
if (DEMO or (HOME / "demo.txt").exists()) and not LOCAL_ONLY:
    raise SettingsError(DEMO_IS_LOCAL)
for _cert, _key, _names in ((TLS_CERT, TLS_KEY, "EINBOX_TLS"), (SMTP_CERT, SMTP_KEY, "EINBOX_SMTP")):
    if bool(_cert) != bool(_key):
        raise SettingsError(f"{_names}_CERT and {_names}_KEY belong together; set both or neither.")

# --- database, broker, content storage ---------------------------------------------------------------------
DATABASE_URL = env.text("EINBOX_DATABASE_URL") or f"sqlite:///{HOME / 'einbox.sqlite3'}"
DATABASES: dict[str, dict[str, Any]] = {"default": database_config(DATABASE_URL)}
BROKER_URL = env.text("EINBOX_BROKER_URL", "memory://")
if urlsplit(BROKER_URL).scheme not in {"memory", "redis", "rediss"}:
    raise SettingsError("EINBOX_BROKER_URL must be memory:// or redis://… (rediss:// with TLS).")
STORAGE_URL = env.text("EINBOX_STORAGE_URL") or f"file://{HOME / 'content'}"
if urlsplit(STORAGE_URL).scheme != "file":
    raise SettingsError("EINBOX_STORAGE_URL must be file:///absolute/path; s3:// is not built yet.")
EMBEDDED = DATABASES["default"]["ENGINE"].endswith("sqlite3") and BROKER_URL == "memory://"

# --- keys: made on first embedded start, demanded in production ---------------------------------------------
SECRET_KEY = env.text("EINBOX_SECRET_KEY")
_field_keys = env.text("EINBOX_FIELD_KEYS")
FIELD_KEYS_GIVEN = bool(_field_keys)  # by the environment, not by the key file
if EMBEDDED:
    _key_file = HOME / "keys" / "field_keys"
    # A new key for a database that another one sealed would hide the loss. The file is looked for a second time: a
    # process that starts beside this one may have made it and sealed with it.
    _needed = set() if _field_keys or _key_file.exists() else sqlite_needs(Path(DATABASES["default"]["NAME"]))
    if _needed and not _key_file.exists():
        raise SettingsError(lacking(_needed))
    SECRET_KEY = SECRET_KEY or ensure_key_file(HOME / "keys" / "secret_key", new_secret_key())
    _field_keys = _field_keys or ensure_key_file(_key_file, new_field_key())
if len(SECRET_KEY) < 32:
    raise SettingsError(
        "EINBOX_SECRET_KEY must be set to at least 32 random characters; `manage.py keys secret` prints some."
    )
FIELD_KEYS = parse_field_keys(_field_keys)
if not FIELD_KEYS:
    raise SettingsError("EINBOX_FIELD_KEYS must be set; `manage.py keys new` prints a fresh one.")

# --- limits and times (seconds unless said) ------------------------------------------------------------------
MESSAGE_SIZE_LIMIT = env.integer("EINBOX_MESSAGE_SIZE", 50 * 2**20, low=2**16, high=2**30)  # octets
INLINE_CONTENT_LIMIT = 64 * 2**10  # octets; larger content is one file
PROBE_INTERVAL = env.integer("EINBOX_PROBE_INTERVAL", 5, low=1, high=600)
PROBE_TIMEOUT = env.integer("EINBOX_PROBE_TIMEOUT", 5, low=1, high=60)
SAFETY_COPY_HOURS = env.integer("EINBOX_SAFETY_COPY_HOURS", 48, low=0, high=24 * 365)
EXPIRY_DAYS = env.integer("EINBOX_EXPIRY_DAYS", 30, low=2, high=365)
OUTBOUND_RECIPIENTS = 100  # per message written here
SMTPD_SESSIONS = env.integer("EINBOX_SMTPD_SESSIONS", 500, low=10, high=20_000)
SMTPD_SESSIONS_PER_CLIENT = env.integer("EINBOX_SMTPD_SESSIONS_PER_CLIENT", 50, low=1, high=20_000)
# Processes that read mail, for each process that needs them (web, worker).
PARSE_CHILDREN = env.integer("EINBOX_PARSE_CHILDREN", 2, low=1, high=64)
SMTPD_RECIPIENTS = env.integer("EINBOX_SMTPD_RECIPIENTS", 1000, low=100, high=10_000)  # RFC 5321: at least 100
SMTPD_COMMANDS = env.integer("EINBOX_SMTPD_COMMANDS", 100, low=5, high=100_000)
SMTPD_ERRORS_SOFT = env.integer("EINBOX_SMTPD_ERRORS_SOFT", 10, low=1, high=10_000)
SMTPD_ERRORS_HARD = env.integer("EINBOX_SMTPD_ERRORS_HARD", 20, low=1, high=10_000)
SMTPD_HARVEST = env.integer("EINBOX_SMTPD_HARVEST", 100, low=0, high=10**6)  # unknown recipients in an hour
SMTPD_LINE = env.integer("EINBOX_SMTPD_LINE", 64 * 2**10, low=1000, high=2**24)  # octets
SMTPD_IDLE = env.integer("EINBOX_SMTPD_IDLE", 300, low=10, high=3600)
SMTPD_DATA_IDLE = env.integer("EINBOX_SMTPD_DATA_IDLE", 180, low=10, high=3600)
SMTPD_DATA_RATE = env.integer("EINBOX_SMTPD_DATA_RATE", 500, low=0, high=2**20)  # octets per second
SMTPD_MEMORY = env.integer("EINBOX_SMTPD_MEMORY", 256, low=64, high=2**20)  # MiB
SMTPD_COMMITTERS = env.integer("EINBOX_SMTPD_COMMITTERS", 2, low=1, high=16)  # PostgreSQL only; SQLite has one writer
SMTPD_PROCESSES = env.integer("EINBOX_SMTPD_PROCESSES", 1, low=1, high=64)  # of `up`
SMTPD_PROXIES = env.networks("EINBOX_SMTPD_PROXIES")
if any(network.prefixlen == 0 for network in SMTPD_PROXIES):
    raise SettingsError(
        "EINBOX_SMTPD_PROXIES must name proxies only; with every address in it anybody poses as anyone."
    )
DISK_FLOOR = env.integer("EINBOX_DISK_FLOOR", 256, low=0, high=2**30)  # MiB
WEB_THREADS = env.integer("EINBOX_WEB_THREADS", 8, low=1, high=64)
WEB_WORKERS = env.integer("EINBOX_WEB_WORKERS", 1, low=1, high=64)
SESSION_IDLE = env.integer("EINBOX_SESSION_IDLE", 30 * 60, low=60, high=12 * 3600)
SESSION_ABSOLUTE = env.integer("EINBOX_SESSION_ABSOLUTE", 12 * 3600, low=300, high=24 * 3600)
# Fault points named in docs/testing.md stop or delay a process on purpose. Empty except in fault tests.
FAILPOINTS = env.text("EINBOX_FAILPOINTS")
# Set by `drill` for its own processes, which act on this domain only (spool.queue.scope).
DRILL_DOMAIN = env.text("EINBOX_DRILL_DOMAIN")

TIME_ZONE = env.text("EINBOX_TIME_ZONE", "UTC")
try:
    ZoneInfo(TIME_ZONE)
except (ZoneInfoNotFoundError, ValueError, OSError):
    raise SettingsError(f"EINBOX_TIME_ZONE must be a zone such as Europe/Berlin; got {TIME_ZONE!r}.") from None
LOG_LEVEL = env.text("EINBOX_LOG_LEVEL", "INFO").upper()
LOG_FORMAT = env.text("EINBOX_LOG_FORMAT", "text" if EMBEDDED else "json")
if LOG_LEVEL not in {"DEBUG", "INFO", "WARNING", "ERROR"} or LOG_FORMAT not in {"text", "json"}:
    raise SettingsError("EINBOX_LOG_LEVEL is DEBUG, INFO, WARNING or ERROR; EINBOX_LOG_FORMAT is text or json.")
env.refuse_unknown()

# --- Django --------------------------------------------------------------------------------------------------
DEBUG = False
USE_TZ = True
LANGUAGE_CODE = "en"
ROOT_URLCONF = "einbox.urls"
WSGI_APPLICATION = "einbox.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
AUTH_USER_MODEL = "accounts.User"
ALLOWED_HOSTS = [_public.hostname]
if is_loopback(WEB):
    ALLOWED_HOSTS += ["localhost", "127.0.0.1", "[::1]"]

INSTALLED_APPS = [
    "einbox.apps.EinboxConfig",
    "audit.apps.AuditConfig",
    "accounts.apps.AccountsConfig",
    "spool.apps.SpoolConfig",
    "django_otp",
    "django_htmx",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
]
MIDDLEWARE = [
    # First: the redirect to https asks for the scheme, which only this middleware knows behind a proxy.
    "audit.middleware.AuditContextMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "einbox.middleware.ResponseHeadersMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "einbox.middleware.FetchMetadataMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    # For browsers that know no frame-ancestors; the others go by the CSP, which lets a mail body into our page.
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django_otp.middleware.OTPMiddleware",
    "accounts.middleware.DefaultDenyMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "spool.webmail.reader.ReaderTimeMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "spool.webmail.context.status",
            ],
        },
    }
]
AUTHENTICATION_BACKENDS = ["accounts.backends.StagedLoginBackend"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.Argon2PasswordHasher"]
AUTH_PASSWORD_VALIDATORS = [
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 15},  # NIST SP 800-63B-4 section 3.1.1.2
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {
        "NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator",
        "OPTIONS": {"user_attributes": ("email", "name")},
    },
]
LOGIN_URL = "accounts:login"
LOGIN_REDIRECT_URL = "/"

SESSION_ENGINE = "django.contrib.sessions.backends.db"
SESSION_SERIALIZER = "django.contrib.sessions.serializers.JSONSerializer"
SESSION_COOKIE_NAME = "__Host-session" if HTTPS else "einbox_session"
SESSION_COOKIE_AGE = SESSION_ABSOLUTE
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_NAME = "__Host-csrf" if HTTPS else "einbox_csrf"
CSRF_COOKIE_HTTPONLY = True
CSRF_USE_SESSIONS = False
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"
SECURE_SSL_REDIRECT = HTTPS
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$"]
SECURE_HSTS_SECONDS = 63_072_000 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = HTTPS
# No SECURE_PROXY_SSL_HEADER: audit.middleware reads the scheme from EINBOX_TRUSTED_PROXIES only.
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
DATA_UPLOAD_MAX_MEMORY_SIZE = 5 * 2**20
FILE_UPLOAD_MAX_MEMORY_SIZE = 1 * 2**20
DATA_UPLOAD_MAX_NUMBER_FIELDS = 500
DATA_UPLOAD_MAX_NUMBER_FILES = 20
FILE_UPLOAD_PERMISSIONS = 0o600

STATIC_URL = "/static/"
STATIC_ROOT = HOME / "static" / __version__
STORAGES = {
    "default": {
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {"location": urlsplit(STORAGE_URL).path, "file_permissions_mode": 0o600},
    },
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}
WHITENOISE_AUTOREFRESH = False

OTP_TOTP_ISSUER = "einbox"

LOGGING_CONFIG = "einbox.logging.configure"
LOGGING = {"level": LOG_LEVEL, "format": LOG_FORMAT}
