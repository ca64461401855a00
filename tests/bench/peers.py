"""Other mail servers to be measured against: private installations that accept durably and deliver nothing.

All are set up generously: no lookups, no log, no TLS, no limits. Each is started in a folder of its own on a free port
of loopback and stopped again.
"""

import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from tests.bench.processes import Peer, wait_for_port
from tests.doubles.installation import free_port

Start = Callable[[Path, Path | None], AbstractContextManager[Peer]]
POSTFIX = """
queue_directory = {queue}
data_directory = {data}
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
compatibility_level = 3.6
myhostname = pf.test
mydestination =
mynetworks = 127.0.0.0/8
relay_domains = example.test
relay_recipient_maps =
alias_maps =
local_recipient_maps =
relayhost = [127.0.0.1]:{dead}
smtpd_recipient_restrictions = permit_mynetworks
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
smtpd_client_event_limit_exceptions = 127.0.0.0/8
smtpd_peername_lookup = no
in_flow_delay = 0
default_process_limit = 300
max_use = 10000
message_size_limit = 52428800
smtpd_recipient_limit = 1000
smtpd_tls_security_level = none
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
maillog_file = {home}/log
maillog_file_prefixes = {home}
syslog_name = bench
"""
EXIM = """
primary_hostname = exim.test
spool_directory = {home}/spool
log_file_path = {home}/log/%slog
pid_file_path = {home}/exim.pid
log_selector = -all
message_logs = false
queue_only = true
host_lookup =
rfc1413_query_timeout = 0s
smtp_accept_max = 400
smtp_accept_max_per_host = 0
smtp_accept_reserve = 0
smtp_accept_queue = 0
smtp_accept_queue_per_connection = 0
smtp_accept_max_per_connection = 100000
smtp_connect_backlog = 1024
smtp_enforce_sync = false
message_size_limit = 50M
acl_smtp_rcpt = accept_all
acl_smtp_data = accept_all
begin acl
accept_all:
  accept
begin routers
hold:
  driver = redirect
  data = :defer: held
  allow_defer
"""


def available() -> dict[str, Start]:
    """The peers this machine has, by the names of the benchmark's rows."""
    found: dict[str, Start] = {}
    if Path("/usr/sbin/postfix").exists():
        found["postfix-hold"] = lambda home, preload: postfix(home, preload, hold=True)
        found["postfix-defer"] = lambda home, preload: postfix(home, preload, hold=False)
        found["smtp-sink"] = smtp_sink
    if os.environ.get("EXIM") or shutil.which("exim4"):
        found["exim"] = exim
    if os.environ.get("HARAKA") or shutil.which("haraka"):
        found["haraka"] = haraka
    return found


@contextmanager
def postfix(home: Path, preload: Path | None = None, *, hold: bool) -> Iterator[Peer]:
    """All mail on hold (no queue manager: the fastest durable accept it has), or deferred by a dead next hop."""
    etc, queue, data, port = home / "etc", home / "queue", home / "data", free_port()
    for folder in (etc, queue, data):
        folder.mkdir(parents=True)
    home.chmod(0o755)
    os.chown(data, pwd.getpwnam("postfix").pw_uid, -1)
    master = Path(
        "/etc/postfix/master.cf" if Path("/etc/postfix/master.cf").exists() else "/usr/share/postfix/master.cf.dist"
    )
    service = f"127.0.0.1:{port} inet n - n - 300 smtpd"
    lines = [
        service if line.startswith("smtp ") and "inet" in line else line for line in master.read_text().splitlines()
    ]
    (etc / "master.cf").write_text("\n".join(lines) + "\n")
    main = POSTFIX.format(queue=queue, data=data, home=home, dead=free_port())
    if hold:
        main += "smtpd_client_restrictions = static:HOLD\n"
    if preload:
        main += f"import_environment = MAIL_CONFIG MAIL_DEBUG MAIL_LOGTAG TZ LANG=C LD_PRELOAD={preload}\n"
    (etc / "main.cf").write_text(main)
    environment = os.environ | ({"LD_PRELOAD": str(preload)} if preload else {})
    control = ["/usr/sbin/postfix", "-c", str(etc)]
    subprocess.run([*control, "start"], check=True, stderr=subprocess.DEVNULL, env=environment)
    try:
        wait_for_port(port)
        yield Peer("postfix-hold" if hold else "postfix-defer", port, [int((queue / "pid/master.pid").read_text())])
    finally:
        subprocess.run([*control, "stop"], check=False, stderr=subprocess.DEVNULL)


@contextmanager
def smtp_sink(home: Path, preload: Path | None = None) -> Iterator[Peer]:
    """Postfix's test server in C: says 250 and keeps nothing. No server that keeps mail can be cheaper."""
    port = free_port()
    home.mkdir(parents=True, exist_ok=True)
    yield from _run(
        "smtp-sink", ["/usr/sbin/smtp-sink", "-u", "nobody", f"127.0.0.1:{port}", "1024"], home, port, preload
    )


@contextmanager
def exim(home: Path, preload: Path | None = None) -> Iterator[Peer]:
    """Queues everything, delivers nothing; EXIM names the program."""
    port = free_port()
    binary = os.environ.get("EXIM") or shutil.which("exim4") or ""
    for folder in (home, home / "spool", home / "log"):
        folder.mkdir(parents=True, exist_ok=True)
        shutil.chown(folder, "Debian-exim", "Debian-exim")
    home.chmod(0o755)
    configuration = home / "exim.conf"
    configuration.write_text(EXIM.format(home=home))
    command = [binary, "-C", str(configuration), "-bdf", "-oX", f"127.0.0.1.{port}"]
    yield from _run("exim", command, home, port, preload)


@contextmanager
def haraka(home: Path, preload: Path | None = None) -> Iterator[Peer]:
    """Its own outbound queue on disk, next hop dead; HARAKA names the program."""
    port, dead = free_port(), free_port()
    config = home / "config"
    config.mkdir(parents=True)
    (home / "queue").mkdir()
    files = {
        "smtp.ini": f"listen=127.0.0.1:{port}\nnodes=0\n[main]\nlisten=127.0.0.1:{port}\n",
        "plugins": "bench\n",
        "me": "haraka.test\n",
        "loglevel": "LOGCRIT\n",
        "host_list": "example.test\n",
        "connection.ini": "[message]\ngreeting=haraka.test\nclose=bye\n[max]\nbytes=52428800\n[uuid]\nbanner_chars=6\n",
        "outbound.ini": "concurrency_max=1\n",
    }
    for name, text in files.items():
        (config / name).write_text(text)
    (home / "plugins").mkdir()
    (home / "plugins" / "bench.js").write_text(
        "exports.hook_mail = (n, c) => { c.relaying = true; n(OK) };\nexports.hook_rcpt = (n) => n(OK);\n"
        f"exports.hook_get_mx = (n) => n(OK, {{priority: 0, exchange: '127.0.0.1', port: {dead}}});\n"
    )
    command = [os.environ.get("HARAKA") or shutil.which("haraka") or "", "-c", str(home)]
    yield from _run("haraka", command, home, port, preload)


def _run(name: str, command: list[str], home: Path, port: int, preload: Path | None) -> Iterator[Peer]:
    environment = os.environ | ({"LD_PRELOAD": str(preload)} if preload else {})
    with (home / "output").open("wb") as output:
        process = subprocess.Popen(command, cwd=home, env=environment, stdout=output, stderr=output)
        try:
            wait_for_port(port)
            yield Peer(name, port, [process.pid])
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
