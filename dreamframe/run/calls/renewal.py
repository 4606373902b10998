"""Asking anew what was answered before: which requests of a run get another answer, and from when on it is the one that counts."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence

from dreamframe.store.answers import Answers


class Renewal:
    """Keys as one run sees them. The answer of before counts until the run has ended with a new one."""

    def __init__(self, answers: Answers, renew: Collection[bytes] = ()) -> None:
        self._answers = answers
        self._renew = frozenset(renew)
        self._new: dict[bytes, tuple[bytes, int]] = {}  # request → the key that its next answer gets, and which time it is, for those asked anew

    def keys(self, keys: Sequence[bytes | None], *, all_of: bool) -> Sequence[bytes | None]:
        """The keys under which the answers to these requests are kept, or are to be kept. With `all_of`, every one is asked anew, once in a run."""
        if not all_of and not self._renew:
            return self._answers.renewals.now(keys)
        return [None if key is None else self._key(key, all_of=all_of) for key in keys]

    def _key(self, key: bytes, *, all_of: bool) -> bytes:
        if not (all_of or key in self._renew):
            return self._answers.renewals.of(key)
        if key not in self._new:
            self._new[key] = self._answers.renewals.next(key)
        return self._new[key][0]

    async def commit(self) -> None:
        """Let the new answers that have come count from now on."""
        if self._new:
            found = self._answers.lookup([key for key, _ in self._new.values()])["found"]
            renewed = {request: times for (request, (_, times)), is_found in zip(self._new.items(), found, strict=True) if is_found}
            await asyncio.to_thread(self._answers.renew, renewed)
            self._new = {}
