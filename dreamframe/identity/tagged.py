"""How canonical bytes are put together, so that no two values share theirs by accident."""

from __future__ import annotations


def tagged(tag: str, *pieces: bytes) -> bytes:
    """A type tag, the count of pieces, and each piece after its length."""
    return b"".join([tag.encode(), b"(%d" % len(pieces), *(b" %d:" % len(p) + p for p in pieces), b")"])
