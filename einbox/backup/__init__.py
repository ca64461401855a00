"""Copies of an installation: database, content files and a signed manifest in one directory. Never the keys."""
