"""Tables of people, factors, invites, sessions and throttles."""

from accounts.models.device import RecoveryCode, RecoveryDevice, TOTPDevice
from accounts.models.invite import Invite
from accounts.models.session import UserSession
from accounts.models.throttle import Throttle
from accounts.models.user import User

__all__ = ["Invite", "RecoveryCode", "RecoveryDevice", "TOTPDevice", "Throttle", "User", "UserSession"]
