"""Texts that share most of their letters: shingles, minhash signatures, and bands that bring likely pairs together.

A signature holds the least of a text's shingles under many orders; two texts have as large a share of them in common as of their shingles (the Jaccard
similarity). Bands only choose the pairs that are looked at: whether a pair is near is decided on the shingles themselves. Hashes are xxh3 and
arithmetic modulo 2^64, so the same in every process.

Broder 1997 (https://doi.org/10.1109/SEQUEN.1997.666900); bands: Indyk and Motwani 1998 (https://doi.org/10.1145/276698.276876).
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

import polars as pl
import pyarrow as pa
import xxhash

GRAM = 3  # letters of a shingle
ORDERS = 256  # numbers of a signature
FOUND = 0.99  # how often a pair at the threshold is looked at, at least
TEXTS = 4096  # texts worked on at once
WORD = re.compile(r"\w+")


def _hash(text: str) -> int:
    return xxhash.xxh3_64_intdigest(text.encode())


MULTIPLY = tuple(_hash(f"multiply {i}") | 1 for i in range(ORDERS))  # odd, so that an order leaves no shingle out
ADD = tuple(_hash(f"add {i}") for i in range(ORDERS))


@lru_cache(maxsize=100_000)
def shingles_of_word(word: str) -> frozenset[int]:
    """Hashes of the runs of GRAM letters of a word between two spaces."""
    padded = f" {word} "
    return frozenset(_hash(padded[i : i + GRAM]) for i in range(max(1, len(padded) - GRAM + 1)))


def shingles(text: str) -> frozenset[int]:
    """Hashes of all runs of letters inside the words of a text, and of its pairs of neighbouring words; of the whole text where it has no word.

    A typo costs a short text few of the runs, other order of the words none; a long text is told from others of its language by the pairs.

    >>> len(shingles("Hot tea!")), len(shingles("Hot tea!") & shingles("tea, hot"))
    (7, 6)
    """
    words = WORD.findall(text.casefold())
    pairs = frozenset(_hash(f"{a} {b}") for a, b in pairwise(words))
    return pairs.union(*map(shingles_of_word, set(words))) if words else frozenset([_hash(text.strip())])


def jaccard(a: frozenset[int], b: frozenset[int]) -> float:
    """Shared ones of all.

    >>> jaccard(frozenset([1, 2, 3]), frozenset([2, 3, 4]))
    0.5
    """
    shared = len(a & b)
    return shared / (len(a) + len(b) - shared)


def band_rows(threshold: float) -> int:
    """Numbers of a band: as many as still bring a pair at the threshold together in one band or more.

    >>> [band_rows(t) for t in (0.5, 0.7, 0.9)]
    [3, 6, 14]
    """
    fit = [r for r in range(1, 17) if 1 - (1 - threshold**r) ** (ORDERS // r) >= FOUND]
    return max(fit, default=1)


def band_keys(texts: Sequence[str], rows: int) -> pl.DataFrame:
    """A row and key for every band of every text; texts with a key in common may be near."""
    found = []
    for at in range(0, len(texts), TEXTS):
        flat, starts = array("Q"), array("q", [0])
        for text in texts[at : at + TEXTS]:
            flat.extend(sorted(shingles(text)))
            starts.append(len(flat))
        hashes = pa.Array.from_buffers(pa.uint64(), len(flat), [None, pa.py_buffer(flat)])
        offsets = pa.Array.from_buffers(pa.int64(), len(starts), [None, pa.py_buffer(starts)])
        held = pl.Series("hash", pa.LargeListArray.from_arrays(offsets, hashes))
        found.append(_keys(held.to_frame().with_row_index("row", at).explode("hash"), rows))
    return pl.concat([pl.DataFrame(schema={"row": pl.UInt32, "key": pl.UInt64}), *found])


def _keys(hashes: pl.DataFrame, rows: int) -> pl.DataFrame:
    """The bands' keys of the texts whose hashes stand below one another in rows (row, hash)."""
    bands = ORDERS // rows
    least = [(pl.col("hash") * number(MULTIPLY[i]) + number(ADD[i])).min().alias(f"{i}") for i in range(bands * rows)]
    keys = []
    for band in range(bands):
        key: pl.Expr = number(ADD[band])
        for i in range(band * rows, (band + 1) * rows):
            key = (key + pl.col(f"{i}")) * number(MULTIPLY[band])
        keys.append(key)
    signed = hashes.group_by("row", maintain_order=True).agg(least)
    return signed.select("row", key=pl.concat_list(keys)).explode("key")


def number(value: int) -> pl.Expr:
    """A constant of 64 bits; arithmetic on it wraps round."""
    return pl.lit(value, dtype=pl.UInt64)


def near_earlier(texts: Sequence[str], threshold: float) -> list[bool]:
    """For each text, whether an earlier one that was kept is as near as the threshold."""
    together = band_keys(texts, band_rows(threshold)).filter(pl.len().over("key") > 1)
    found = [False] * len(texts)
    kept: dict[int, list[int]] = {}  # key → its rows that were kept
    held: dict[int, frozenset[int]] = {}  # row → its shingles
    for row, mine in together.group_by("row", maintain_order=True).agg("key").iter_rows():
        own = shingles(texts[row])
        near = {other for key in mine for other in kept.get(key, ())}
        if any(jaccard(own, held[other]) >= threshold for other in near):
            found[row] = True
            continue
        held[row] = own
        for key in mine:
            kept.setdefault(key, []).append(row)
    return found
