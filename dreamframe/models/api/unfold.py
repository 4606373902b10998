"""Unfolding what a server packed (Content-Encoding): never more bytes than the caller takes, however small the packed ones are."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable
from typing import Any

STEP = 1 << 16  # bytes that are unfolded at once
MOST_LAYERS = 3
MOST_MEMBERS = 1024  # of a gzip file; honest ones have one


class TooLongError(ValueError):
    """There is more in it than may be unfolded."""


class UnknownEncodingError(ValueError):
    """A packing that nothing here can unfold."""


def unfold(data: bytes, encoding: str, *, most: int) -> bytes:
    """The bytes that were packed in these ways, `most` or fewer. Raises ValueError: for more, for what is damaged, for an unknown packing.

    >>> unfold(zlib.compress(b"x" * 1000), "deflate", most=1000) == b"x" * 1000
    True
    """
    layers = [name.strip().lower() for name in encoding.split(",") if name.strip() and name.strip().lower() != "identity"]
    if len(layers) > MOST_LAYERS:
        raise UnknownEncodingError(f"packed {len(layers)} times")
    for name in reversed(layers):
        if name not in UNFOLDERS:
            raise UnknownEncodingError(f"packed by {name[:40]!r}, which was not asked for")
        data = UNFOLDERS[name](data, most) if data else data
    return data


def _zlib(data: bytes, most: int, wbits: int) -> bytes:
    whole, at, packed = bytearray(), 0, memoryview(data)
    for _ in range(MOST_MEMBERS):
        member, rest = zlib.decompressobj(wbits), b""
        while not member.eof:
            if not rest:
                rest = bytes(packed[at : at + STEP])
                at += len(rest)
            try:
                made = member.decompress(rest, STEP)
            except zlib.error as exc:
                raise ValueError(f"damaged: {exc}") from exc
            if not made and not rest and not member.eof:
                raise ValueError("damaged: it ends too early")
            rest = member.unconsumed_tail
            whole += made
            if len(whole) > most:
                raise TooLongError(f"more than {most:,} bytes")
        at -= len(member.unused_data)
        if wbits < 16 or not bytes(packed[at:]).strip(b"\0"):  # only gzip has several members; some pad the last one
            return bytes(whole)
    raise TooLongError(f"more than {MOST_MEMBERS:,} members")


def _gzip(data: bytes, most: int) -> bytes:
    return _zlib(data, most, 16 + zlib.MAX_WBITS)


def _deflate(data: bytes, most: int) -> bytes:
    """With the header of zlib, as the standard has it, or without, as some send it."""
    return _zlib(data, most, zlib.MAX_WBITS if data[0] & 0xF == 8 else -zlib.MAX_WBITS)


def _zstd(data: bytes, most: int) -> bytes:
    try:
        import zstandard
    except ImportError as exc:
        raise UnknownEncodingError("packed by 'zstd', which was not asked for") from exc
    try:
        with zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(io.BytesIO(data), read_across_frames=True) as plain:
            return _all(lambda: plain.read(STEP), most)
    except zstandard.ZstdError as exc:
        raise ValueError(f"damaged: {exc}") from exc


def _brotli(data: bytes, most: int) -> bytes:
    try:
        import brotli
    except ImportError as exc:
        raise UnknownEncodingError("packed by 'br', which was not asked for") from exc
    plain, rest = brotli.Decompressor(), [data]

    def more() -> bytes:
        while not plain.is_finished():
            made: bytes = plain.process(rest.pop() if rest else b"", output_buffer_limit=STEP)
            if made:
                return made
            if plain.can_accept_more_data():
                raise ValueError("damaged: it ends too early")
        return b""

    try:
        return _all(more, most)
    except (brotli.error, TypeError) as exc:  # TypeError: a version that cannot be told how much to unfold at once
        raise ValueError(f"damaged: {exc}") from exc


def _all(more: Callable[[], Any], most: int) -> bytes:
    whole = bytearray()
    while chunk := more():
        whole += chunk
        if len(whole) > most:
            raise TooLongError(f"more than {most:,} bytes")
    return bytes(whole)


UNFOLDERS: dict[str, Callable[[bytes, int], bytes]] = {"gzip": _gzip, "x-gzip": _gzip, "deflate": _deflate, "zstd": _zstd, "br": _brotli}
