"""Settings of the test run: clean EINBOX_* variables first, then the product's own settings, unchanged but for the test
database's file.

pytest-django reads the settings before any conftest, so the variables cannot be set there. TEST_DATABASE_URL and
TEST_REDIS_URL choose PostgreSQL and Redis; without them tests run on the embedded default.
"""

import os
import tempfile
from pathlib import Path

for _name in [name for name in os.environ if name.startswith("EINBOX_")]:
    del os.environ[_name]
_home = Path(tempfile.mkdtemp(prefix="einbox-tests-"))
os.environ["EINBOX_HOME"] = str(_home)
os.environ["EINBOX_HOSTNAME"] = "einbox.test"
os.environ["EINBOX_SECRET_KEY"] = "tests-only-" + "k" * 40
os.environ["EINBOX_FIELD_KEYS"] = "0badcafe:YSBmaWVsZCBrZXkgZm9yIHRoZSB0ZXN0cywgMzIgb2M="
if os.environ.get("TEST_DATABASE_URL"):
    os.environ["EINBOX_DATABASE_URL"] = os.environ["TEST_DATABASE_URL"]
# Processes that tests start are the product: they read its settings, with the variables the test gives them.
os.environ["DJANGO_SETTINGS_MODULE"] = "einbox.settings"

from einbox.settings import *  # noqa: E402, F403
from einbox.settings import DATABASES  # noqa: E402

if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    # A file, not memory: WAL, locks between threads and connections are then those of the product.
    DATABASES["default"]["TEST"] = {"NAME": str(_home / "test.sqlite3")}
