"""Patience: when a client is given up. It is counted for the client, never row by row, since all rows ask the same server with the same key."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from dreamframe.call import Request
from dreamframe.errors import CallError, RateLimitedError

RATE_LIMITED_S = 900.0  # a model whose calls are only ever told "not now" is given up after so long
LOADING_S = 900.0  # and one that its server is still loading


class _Refused:
    """The different requests that failed in one way since the last answer."""

    __slots__ = ("keys", "most", "texts")

    def __init__(self) -> None:
        self.keys: set[bytes] = set()
        self.texts: set[bytes] = set()  # of requests that hold several
        self.most = math.inf  # so many are enough


class Patience:
    """What a client has refused, and since when it has said nothing else. Knows no clock: times are in seconds."""

    def __init__(self) -> None:
        self._answered: set[str] = set()  # models
        self._since: dict[tuple[str, str], float] = {}  # (model, what is said) → the first time since its last answer
        self._refused: dict[str, _Refused] = {}  # model, or "" for all of them

    @property
    def room(self) -> float:
        """Calls that may be in flight: no more than could settle a doubt about the key, and one at the least."""
        return min(max(1.0, r.most - len(r.keys)) for r in self._refused.values()) if self._refused else math.inf

    def answered(self, model: str) -> None:
        """A call was answered: the key is good, and the model is there."""
        self._answered.add(model)
        if self._refused:
            self._refused.pop("", None)
            self._refused.pop(model, None)
        if self._since:
            self._since.pop((model, "not now"), None)
            self._since.pop((model, "loading"), None)

    def is_over(self, error: CallError, model: str, request: Request, now: float, *, in_flight: Iterable[str] = ()) -> bool:
        """Whether this failure is one too many: then nothing more of that kind should be sent. It is counted anew afterwards.

        `in_flight` are the models of the calls that are not back yet: a firewall is faster than a model, so what they bring is waited for.
        """
        if error.stops_after is not None:
            return self._is_proven(error, error.stops_after, model, request, in_flight)
        is_limited = isinstance(error, RateLimitedError)
        if not is_limited and not getattr(error, "is_loading", False):
            return False
        said, most_s = ("not now", RATE_LIMITED_S) if is_limited else ("loading", LOADING_S)
        if now - self._since.setdefault((model, said), now) < most_s:
            return False
        del self._since[model, said]
        return True

    def _is_proven(self, error: CallError, stops_after: tuple[int, int | None], model: str, request: Request, in_flight: Iterable[str]) -> bool:
        """Whether enough different requests were refused. The halves of one that was refused as a whole are not different from it."""
        is_trusted = model in self._answered if error.of_model else bool(self._answered)
        most = stops_after[is_trusted]
        if most is None:
            return False
        about = model if error.of_model else ""
        refused = self._refused.setdefault(about, _Refused())
        rows: Sequence[Request] = getattr(request, "rows", (request,))
        if len(rows) == 1 or refused.texts.isdisjoint(row.key for row in rows):
            refused.keys.add(request.key)
        refused.texts.update(row.key for row in rows)
        refused.most = most
        if len(refused.keys) < most or any(about in ("", other) for other in in_flight):
            return False
        del self._refused[about]
        return True
