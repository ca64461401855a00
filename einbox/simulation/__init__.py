"""The demo organisation: invented people, a simulated primary mail server, and mail that arrives by SMTP.

Loopback only; a real installation imports none of it.
"""
