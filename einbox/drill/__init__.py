"""The drill: one complete emergency on real SMTP traffic, with its own processes, ports, people and domain.

Contacts loopback only. Its proof, the ledger, is computed from what senders and the primary saw, apart from
the product's own counts.
"""
