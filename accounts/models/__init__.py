"""Tables of people, factors, invites, sessions and throttles."""

from accounts.models.user import User

__all__ = ["User"]
