"""The headers of a reply: a mapping whose names have no case, read from their bytes when somebody asks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

Pairs = Sequence[tuple[bytes, bytes]]


class Headers(Mapping[str, str]):
    """Of a name that comes twice, the first counts.

    >>> Headers([(b"Retry-After", b"5")]).get("retry-after")
    '5'
    """

    __slots__ = ("_pairs", "_values")

    def __init__(self, pairs: Pairs) -> None:
        self._pairs = pairs
        self._values: dict[str, str] | None = None  # by the name in lower case

    @classmethod
    def of(cls, texts: Mapping[str, str]) -> Headers:
        """The headers of another mapping."""
        return cls([(name.encode("utf-8", "surrogateescape"), value.encode("utf-8", "surrogateescape")) for name, value in texts.items()])

    def _read(self) -> dict[str, str]:
        if self._values is None:
            pairs = reversed(self._pairs)
            self._values = {name.lower().decode("utf-8", "surrogateescape"): value.decode("utf-8", "surrogateescape") for name, value in pairs}
        return self._values

    def __getitem__(self, name: str) -> str:
        return self._read()[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._read())

    def __len__(self) -> int:
        return len(self._read())
