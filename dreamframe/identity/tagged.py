"""How canonical bytes are put together, so that no two values share theirs by accident."""

from __future__ import annotations


def tagged(tag: str, *pieces: bytes) -> bytes:
    """A type tag, the count of pieces, and each piece after its length."""
    made = b"%b(%d" % (tag.encode(), len(pieces))
    return b"".join([made, *[b" %d:%b" % (len(p), p) for p in pieces], b")"])
