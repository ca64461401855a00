"""Fuzzers: what strangers can send, thrown at the code that reads it, with an oracle for each reader.

`make fuzz` runs them for minutes; the ordinary suite runs a short form (test_targets.py).
"""
