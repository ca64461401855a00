"""Limits of the server, with the defaults of docs/settings.md. A frozen value, so that tests can give their own."""

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network

from django.conf import settings

MIB = 2**20


@dataclass(frozen=True)
class Limits:
    """Octets, seconds and counts; each has its EINBOX_SMTPD_* setting unless said."""

    message_size: int = 50 * MIB  # EINBOX_MESSAGE_SIZE
    sessions: int = 500
    sessions_per_client: int = 50  # of one IPv4 address or IPv6 /64
    recipients: int = 1000
    commands: int = 100  # commands of a session that bring no mail
    errors_soft: int = 10  # from here on each error is answered after `tarpit`
    errors_hard: int = 20  # 421
    harvest: int = 100  # unknown recipients in an hour of one IPv4 address or IPv6 /64; then 421. 0: no limit
    tarpit: float = 1.0  # fixed
    line: int = 64 * 2**10  # of a message
    command_line: int = 2048  # fixed; RFC 5321 section 4.5.3.1.4 asks for 512, extensions for more
    idle: float = 300.0  # between commands
    data_idle: float = 180.0  # between two blocks of a message
    data_rate: float = 500.0  # octets per second over the whole message, after `data_grace`
    data_grace: float = 60.0  # fixed
    commit: float = 9.0  # fixed: a sender hears 451 after this, whatever the database does
    memory: int = 256 * MIB  # content held by all sessions
    disk_floor: int = 256 * MIB  # EINBOX_DISK_FLOOR
    hops: int = 50  # fixed: Received fields
    own_hops: int = 2  # fixed: Received fields of our own name
    return_after: float = 600.0  # fixed: a client put off for so long cannot reach the primary
    proxies: tuple[IPv4Network | IPv6Network, ...] = ()  # peers that must begin with a PROXY header
    proxy_header: float = 5.0  # fixed: seconds for that header
    confirmed_within: float = 60.0  # fixed: an `up` older than this is stale

    @property
    def room(self) -> int:
        """Octets that must stay free on the disk; below it mail is put off with 452."""
        return 2 * self.message_size + self.disk_floor

    @classmethod
    def from_settings(cls) -> "Limits":
        return cls(
            message_size=settings.MESSAGE_SIZE_LIMIT,
            sessions=settings.SMTPD_SESSIONS,
            sessions_per_client=settings.SMTPD_SESSIONS_PER_CLIENT,
            recipients=settings.SMTPD_RECIPIENTS,
            commands=settings.SMTPD_COMMANDS,
            errors_soft=settings.SMTPD_ERRORS_SOFT,
            errors_hard=settings.SMTPD_ERRORS_HARD,
            harvest=settings.SMTPD_HARVEST,
            line=settings.SMTPD_LINE,
            idle=settings.SMTPD_IDLE,
            data_idle=settings.SMTPD_DATA_IDLE,
            data_rate=settings.SMTPD_DATA_RATE,
            memory=settings.SMTPD_MEMORY * MIB,
            disk_floor=settings.DISK_FLOOR * MIB,
            proxies=settings.SMTPD_PROXIES,
        )
