"""einbox, the open-source Emergency Inbox: the project's composition root.

May import every room; no room imports it.
"""

__version__ = "0.1.0"
