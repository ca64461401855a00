"""A real Postfix as the primary: private configuration and queue, loopback only, one mailbox file a message.

Started and stopped by the test through its own `postfix -c`; touches nothing of a system-wide Postfix.
"""

import os
import pwd
import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from email import message_from_bytes
from pathlib import Path

from einbox.drill.sink import fingerprint

DAEMONS = "/usr/lib/postfix/sbin"
START_SECONDS = 20.0

MAIN = """
compatibility_level = 3.6
queue_directory = {queue}
data_directory = {data}
daemon_directory = {daemons}
command_directory = /usr/sbin
mail_owner = postfix
setgid_group = postdrop
default_privs = nobody
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = primary.test
mydestination =
local_recipient_maps =
alias_maps =
alias_database =
maillog_file = {log}
maillog_file_prefixes = {base}
virtual_mailbox_domains = {domains}
virtual_mailbox_base = {mail}
virtual_mailbox_maps = static:all/
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
virtual_minimum_uid = 1
virtual_mailbox_limit = 0
message_size_limit = 0
smtpd_recipient_restrictions = permit_mynetworks, reject
mynetworks = 127.0.0.0/8
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_peername_lookup = no
disable_dns_lookups = yes
local_header_rewrite_clients =
default_process_limit = 20
"""

MASTER = """
127.0.0.1:{port} inet n - n - - smtpd
pickup    unix n - n 60 1 pickup
cleanup   unix n - n - 0 cleanup
qmgr      unix n - n 300 1 qmgr
rewrite   unix - - n - - trivial-rewrite
bounce    unix - - n - 0 bounce
defer     unix - - n - 0 bounce
trace     unix - - n - 0 bounce
verify    unix - - n - 1 verify
error     unix - - n - - error
retry     unix - - n - - error
discard   unix - - n - - discard
virtual   unix - n n - - virtual
anvil     unix - - n - 1 anvil
scache    unix - - n - 1 scache
proxymap  unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
postlog   unix-dgram n - n - 1 postlogd
"""


@dataclass
class Postfix:
    """A primary for the drill (einbox.drill.primary.Primary)."""

    directory: Path
    port: int
    running: bool = field(default=False, init=False)

    @property
    def config(self) -> Path:
        return self.directory / "postfix" / "etc"

    def start(self, domains: Sequence[str]) -> None:
        """Write the private configuration and start; mail kept before stays."""
        base = self.directory / "postfix"
        owner = pwd.getpwnam("postfix")
        for name, uid in (("etc", 0), ("queue", 0), ("data", owner.pw_uid), ("mail", owner.pw_uid)):
            (base / name).mkdir(parents=True, exist_ok=True)
            os.chown(base / name, uid, owner.pw_gid if uid else 0)
        for folder in (base, *base.parents):  # Postfix' own user must get through to its queue
            if folder.stat().st_uid == os.getuid() and folder != Path("/"):
                folder.chmod(folder.stat().st_mode | 0o011)
        values = {"base": base, "daemons": DAEMONS, "domains": ", ".join(domains), "port": self.port}
        values |= {"queue": base / "queue", "data": base / "data", "mail": base / "mail"}
        values |= {"log": base / "postfix.log", "uid": owner.pw_uid, "gid": owner.pw_gid}
        (self.config / "main.cf").write_text(MAIN.format(**values))
        (self.config / "master.cf").write_text(MASTER.format(**values))
        self._postfix("start")
        self.running = True

    def kill(self) -> None:
        """Postfix' own abort: every process ends at once."""
        if self.running:
            self._postfix("abort", check=False)
            self._wait_for_death()
            self.running = False

    def kept(self) -> list[dict[str, str]]:
        """One entry a mailbox file; waits until the queue manager has put away what was accepted."""
        self._wait_for_empty_queue()
        entries = []
        mail = self.directory / "postfix" / "mail"
        for path in sorted(mail.glob("all/new/*")):
            raw = path.read_bytes().replace(b"\n", b"\r\n")  # Postfix stores lines with LF
            token, digest = fingerprint(raw)
            headers = message_from_bytes(raw)  # virtual(8) writes the envelope on top
            sender, recipient = headers.get("Return-Path", "").strip("<>"), headers.get("Delivered-To", "").lower()
            entries.append({"token": token, "recipient": recipient, "sha256": digest, "sender": sender})
        return entries

    def _postfix(self, command: str, *, check: bool = True) -> None:
        subprocess.run(
            ["/usr/sbin/postfix", "-c", str(self.config), command], check=check, capture_output=True, timeout=60
        )

    def _queued(self) -> int:
        queue = self.directory / "postfix" / "queue"
        return sum(
            1
            for name in ("incoming", "active", "deferred", "maildrop")
            for path in (queue / name).rglob("*")
            if path.is_file()
        )

    def _wait_for_empty_queue(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while self._queued() and time.monotonic() < deadline:
            time.sleep(0.1)

    def _wait_for_death(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        status = ["/usr/sbin/postfix", "-c", str(self.config), "status"]
        while time.monotonic() < deadline:
            if subprocess.run(status, check=False, capture_output=True).returncode:
                return
            time.sleep(0.1)


def installed() -> bool:
    return shutil.which("postfix", path="/usr/sbin:/usr/bin") is not None
