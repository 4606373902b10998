"""What servers pack is unfolded up to a limit, and never beyond it."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib
from collections.abc import Callable

import pytest
import zstandard

from dreamframe.errors import BadReplyError
from dreamframe.models.api.unfold import UNFOLDERS, TooLongError, UnknownEncodingError, unfold
from dreamframe.models.llms.openai import OpenAI
from tests.asking import ask_all
from tests.loopback import Call, Loopback, replies
from tests.loopback.faults import raw


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


PACKERS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", gzip.compress),
    "gzip in members": ("x-gzip", lambda data: gzip.compress(data[:10]) + gzip.compress(data[10:]) + b"\0\0"),
    "deflate": ("deflate", zlib.compress),
    "deflate without a header": ("deflate", raw_deflate),
    "zstd": ("zstd", zstandard.compress),
    "zstd in frames": ("zstd", lambda data: zstandard.compress(data[:10]) + zstandard.compress(data[10:])),
    "gzip twice": ("gzip, GZIP", lambda data: gzip.compress(gzip.compress(data))),
    "not at all": ("identity", lambda data: data),
}


@pytest.mark.parametrize("name", PACKERS)
@pytest.mark.parametrize("n", [0, 11, 65_536, 1_000_003])
def test_what_was_packed_comes_out_whole(name: str, n: int) -> None:
    encoding, pack = PACKERS[name]
    data = bytes(i * i % 251 for i in range(1000)) * (n // 1000) + b"x" * (n % 1000)
    assert unfold(pack(data), encoding, most=max(n, 1000)) == data


@pytest.mark.parametrize("name", [n for n in PACKERS if n != "not at all"])
def test_a_bomb_is_refused_before_it_is_unfolded(name: str) -> None:
    encoding, pack = PACKERS[name]
    bomb = pack(bytes(64 << 20))
    tracemalloc.start()
    try:
        with pytest.raises(TooLongError):
            unfold(bomb, encoding, most=1 << 20)
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd"])
@pytest.mark.parametrize("damage", [lambda d: d[: len(d) // 2], lambda d: b"\xff\xfe" + d], ids=["cut", "foreign"])
def test_what_is_damaged_is_an_error(encoding: str, damage: Callable[[bytes], bytes]) -> None:
    pack = {"gzip": gzip.compress, "deflate": zlib.compress, "zstd": zstandard.compress}[encoding]
    whole = pack(bytes(i * i % 251 for i in range(5000)))
    if encoding == "zstd" and len(damage(whole)) < len(whole):
        assert len(unfold(damage(whole), encoding, most=10_000)) < 5000, "a frame that is cut gives what is there: the JSON in it does not end"
    else:
        with pytest.raises(ValueError, match="damaged"):
            unfold(damage(whole), encoding, most=10_000)


@pytest.mark.parametrize("encoding", ["lzma", "gzip, gzip, gzip, gzip", "compress"])
def test_an_unknown_packing_is_an_error(encoding: str) -> None:
    with pytest.raises(UnknownEncodingError, match="packed"):
        unfold(b"x", encoding, most=10)
    assert "br" in UNFOLDERS


def packed(call: Call, encoding: str, pack: Callable[[bytes], bytes], *, status: int = 200, chunked: bool = False) -> None:
    import json

    data = pack(json.dumps(replies.chat(call.body, "x" * 200_000)).encode())
    head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Encoding: {encoding}\r\n"
    framed = b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" if chunked else b"Content-Length: %d\r\n\r\n%s"
    raw(head.encode() + framed % (len(data), data))(call)


@pytest.mark.parametrize("name", [n for n in PACKERS if n != "gzip in members"])
@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.usefixtures("either_way")
@pytest.mark.parametrize("chunked", [True, False], ids=["in chunks", "of a length"])
def test_the_limit_of_a_reply_counts_what_comes_out(name: str, status: int, *, chunked: bool) -> None:
    encoding, pack = PACKERS[name]
    with Loopback(fault=lambda call: lambda c: packed(c, encoding, pack, status=status, chunked=chunked)) as server:
        llm = OpenAI("m", base_url=server.url, api_key="k")
        (fits,) = ask_all(llm, ["a"])
        (long,) = ask_all(OpenAI("m", base_url=server.url, api_key="k", max_reply_bytes=150_000), ["a"])
    assert isinstance(long, BadReplyError)
    assert "longer than 150,000 bytes" in str(long)
    assert (fits.text == "x" * 200_000) if status == 200 else (fits.status == 400)


def test_a_packing_that_was_not_asked_for_says_so() -> None:
    with Loopback(fault=lambda call: lambda c: packed(c, "sdch", lambda d: d)) as server:
        (failed,) = ask_all(OpenAI("m", base_url=server.url, api_key="k"), ["a"])
        assert server.calls[0].headers["accept-encoding"] == "gzip, deflate"
    assert "packed by 'sdch'" in str(failed)
