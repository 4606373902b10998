"""What prompts have in common at their beginning: it is read once for all of them, and prompts that share much are worked on together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TypeVar

T = TypeVar("T")
LEAST_SAVED = 64  # tokens: what it saves must be worth one more pass through the model
SAVED_SHARE = 1 / 8  # of what a batch would read without


def common(a: list[int] | bytes, b: list[int] | bytes) -> int:
    """How many first tokens, or bytes, are the same."""
    low, high = 0, min(len(a), len(b))
    while low < high:  # slices are compared at the speed of C
        middle = (low + high + 1) // 2
        low, high = (middle, high) if a[low:middle] == b[low:middle] else (low, middle - 1)
    return low


def depth_to_share(prompts: Sequence[list[int]]) -> int:
    """The number of first tokens that are best read once for all prompts of a batch that begin with the same; 0 where it does not pay.

    With n prompts padded to the length l, of which g begin differently within the first d tokens, a model reads g·d + n·(l - d) tokens instead of n·l.
    At least one token of each prompt is left: what comes after it is asked for.
    """
    n, longest, deepest = len(prompts), max(map(len, prompts)), min(map(len, prompts)) - 1
    shared = [common(a, b) for a, b in pairwise(sorted(prompts))]
    best, saved = 0, 0
    for depth in {min(s, deepest) for s in shared}:
        apart = 1 + sum(s < depth for s in shared)
        if (n - apart) * depth > saved:
            best, saved = depth, (n - apart) * depth
    return best if saved >= max(LEAST_SAVED, SAVED_SHARE * n * longest) else 0


def by_family(items: Sequence[T], begins: Callable[[T], bytes], length: Callable[[T], int]) -> list[T]:
    """Items from the longest down, with those together of which neighbours share half of what they read, such as questions about one document.

    `begins` gives what an item reads, as bytes: thousands of them are compared for every batch.
    """
    ordered = sorted(items, key=begins)
    families = [[ordered[0]]] if ordered else []
    for before, item in pairwise(ordered):
        a, b = begins(before), begins(item)
        if a and 2 * common(a, b) >= max(len(a), len(b)):
            families[-1].append(item)
        else:
            families.append([item])
    families.sort(key=lambda family: -max(map(length, family)))  # stable
    return [item for family in families for item in sorted(family, key=lambda i: -length(i))]
