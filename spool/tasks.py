"""Thin Celery entries: each rings one plain function of spool.queue. Messages carry ids or nothing."""
