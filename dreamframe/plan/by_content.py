"""Rows chosen by what they hold and a seed: the same rows whatever their order, and whatever other rows there are beside them."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl
import xxhash

from dreamframe.prompts.templates import as_text


def contents(rows: pl.DataFrame, columns: Sequence[str]) -> list[str]:
    """Each row's values in some columns as one text, which other values have not."""
    texts = [_text(rows.get_column(c)).to_list() for c in columns]
    return ["".join("-" if v is None else f"{len(v)}:{v}" for v in values) for values in zip(*texts, strict=True)] if texts else [""] * rows.height


def _text(column: pl.Series) -> pl.Series:
    return column.bin.encode("hex") if column.dtype == pl.Binary else as_text(column)


def _drawn(seed: int, content: str, nth: int) -> int:
    return xxhash.xxh3_128_intdigest(f"{seed} {nth} {content}".encode("utf-8", "surrogatepass"))


def content_hashes(rows: pl.DataFrame, columns: Sequence[str], seed: int) -> pl.Series:
    """64 bits for each row, of its values in some columns and a seed: the same in every process, and for equal rows.

    >>> content_hashes(pl.DataFrame({"a": ["x", "y", "x"]}), ["a"], 0).rank("dense").n_unique()
    2
    """
    made = [xxhash.xxh3_64_intdigest(content.encode("utf-8", "surrogatepass"), seed=seed) for content in contents(rows, columns)]
    return pl.Series("hash", made, dtype=pl.UInt64)


def sample(rows: pl.DataFrame, columns: Sequence[str], n: int, *, seed: int) -> list[int]:
    """The positions of n rows in input order, drawn by their content in some columns; all rows where there are no more.

    Of rows alike the first ones are taken, as many as were drawn of them: samples of equal requests keep their numbers.

    >>> rows = pl.DataFrame({"t": list("abcdefgh")})
    >>> taken = {rows["t"][at] for at in sample(rows, ["t"], 3, seed=0)}
    >>> again = rows.reverse()
    >>> taken == {again["t"][at] for at in sample(again, ["t"], 3, seed=0)}
    True
    """
    alike: dict[str, list[int]] = {}
    draws = []
    for at, content in enumerate(contents(rows, columns)):
        places = alike.setdefault(content, [])
        draws.append((_drawn(seed, content, len(places)), content))
        places.append(at)
    taken: dict[str, int] = {}
    for _, content in sorted(draws)[:n]:
        taken[content] = taken.get(content, 0) + 1
    return sorted(at for content, many in taken.items() for at in alike[content][:many])


def parted(rows: pl.DataFrame, columns: Sequence[str], share: float, *, seed: int) -> tuple[list[int], list[int]]:
    """The positions of all rows in two parts, the second of about `share` of them, at least one; rows alike are in the same part.

    >>> kept, held = parted(pl.DataFrame({"t": ["a", "b", "c", "a", "d"]}), ["t"], 0.3, seed=0)
    >>> sorted(kept + held), (0 in held) == (3 in held)
    ([0, 1, 2, 3, 4], True)
    """
    alike: dict[str, list[int]] = {}
    for at, content in enumerate(contents(rows, columns)):
        alike.setdefault(content, []).append(at)
    held: list[int] = []
    for content in sorted(alike, key=lambda c: _drawn(seed, c, 0)):
        if len(held) >= max(1, round(share * rows.height)):
            break
        held += alike[content]
    return sorted(set(range(rows.height)) - set(held)), sorted(held)
