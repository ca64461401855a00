"""The questions doctor asks the Domain Name System. No part of capture, reading or delivery depends on it."""
