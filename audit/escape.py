"""Text from strangers made safe for one line of a log, a header or a terminal. Pure; imports nothing of ours.

Escaping happens where text leaves (log line, export, page); stored text only loses what a database cannot hold.
"""

import re

# C0, DEL, C1, line and paragraph separators, bidirectional marks, embeddings and isolates.
UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
# PostgreSQL refuses NUL, and a lone surrogate has no UTF-8 form.
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def escape(text: str) -> str:
    """`text` with every character that could break or steer a line written as \\uXXXX."""
    return UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def storable(text: str) -> str:
    """`text` with NUL and lone surrogates replaced by U+FFFD."""
    return UNSTORABLE.sub("\ufffd", text)
