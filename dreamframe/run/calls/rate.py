"""How fast calls may follow one another: a pace that is learnt from refusals, and a budget of tokens a minute. They know no clock: times are in seconds."""

from __future__ import annotations

import math

from dreamframe.models.request import Completion, Request
from dreamframe.models.tokens import usual


class Pace:
    """Calls per second that the server takes, learnt from its refusals (429).

    A first refusal says little: the pace becomes half of what it was, and may double every second. From then on the calls that left between one
    refusal and the next are what the server allows: a server that meters its callers takes exactly those. Once they are enough for an estimate, the
    pace starts a little below it and rises: through the estimate's own uncertainty, then slowly, and as the cube of time later, since the limit may
    have been raised. Time in which the pace held nobody up does not count.
    """

    BELOW = 0.97  # of what was taken, after a refusal
    NEAR = 0.92  # of the pace that was refused: the limit cannot be far
    SLOPE = 0.003  # rise per second, as a part of the start
    DOUBLE_S = 30.0  # the cubic rise has doubled the pace after so long
    SLOWEST = 10.0  # calls per second below which time is counted in calls, so that few calls do not mean many refusals
    ENOUGH = 5  # calls between refusals, for an estimate
    FIRST = 10.0  # calls per second at the least after a first refusal
    LEAST = 1 / 120
    WAVE_S = 0.5  # while nothing is sure, refusals so close to one another are one

    def __init__(self, most: float = math.inf) -> None:
        self.most = most  # what the user said
        self.rate = most
        self._start = most  # the rate after the last refusal
        self._is_sure = most < math.inf
        self._doubt = 0.0  # how far the estimate may be too low, as a part of it
        self._grain = 0.0  # rise per call, until the doubt is made up for
        self._pause_s = 0.0  # after the last refusal that counted
        self._age = 0  # calls that were held up since the last refusal
        self._age_s = 0.0
        self._delay_s = 0.0  # until a refusal is back
        self._next = -math.inf  # when the next call may leave
        self._cut_at = -math.inf  # the last refusal that counted; those of calls that left before it say nothing new
        self._since, self._n_since = -math.inf, 0  # from when, and from which call on, the calls are counted
        self._n_refused = 0  # of those
        self._seconds: dict[int, int] = {}  # calls that left in each of the last seconds, while nothing is known of a limit
        self.n_left = 0

    def wait_s(self, now: float) -> float:
        return self._next - now

    def left(self, now: float) -> int:
        """A call leaves; its number."""
        self.n_left += 1
        if self.rate == math.inf:
            second = int(now)
            self._seconds[second] = self._seconds.get(second, 0) + 1
            if len(self._seconds) > 5:
                del self._seconds[min(self._seconds)]
            return self.n_left
        interval = 1 / self.rate
        late_s = now - self._next
        if late_s < max(0.03 * interval, 0.002):  # a timer's lateness is made up for
            self._next += interval
            self._rise(interval)
        else:
            self._next = now + interval
            if late_s < interval:
                self._rise(interval)
        return self.n_left

    def _rise(self, interval: float) -> None:
        self._age += 1
        self._age_s += min(interval, 1 / self.SLOWEST)
        if self._is_sure:
            rise = 1 + max(self.SLOPE * self._age_s, min(self._grain * self._age, self._doubt)) + (self._age_s / self.DOUBLE_S) ** 3
        else:
            rise = 2 ** min(self._age_s / max(1.0, 2 * self._delay_s), 20.0)
        self.rate = min(self._start * rise, self.most)

    def refused(self, now: float, *, left_at: float, number: int, pause_s: float) -> None:
        """The call with this number, which left then, was told "not now"."""
        self._delay_s = now - left_at
        if left_at <= self._cut_at:
            self._age, self._age_s = 0, 0.0  # no rise before the last of them is back
            return
        n, passed = number - self._n_since - 1 - self._n_refused, left_at - self._since
        self._n_refused += 1
        if self._start == math.inf:
            recent = [calls for second, calls in self._seconds.items() if second > now - 6]
            estimate = max(sum(recent) / max(len(recent), 1) / 2, self.FIRST)
        elif n >= self.ENOUGH and math.inf > passed > max(self.WAVE_S, self._delay_s):
            counted = n / passed * self.BELOW
            if self._is_sure and counted > 0.8 * self.rate:  # a server that saves nothing up took less than it would have while the pace was low
                counted = max(counted, self.rate * self.NEAR)
            self._doubt = max(1 / n, min(1.0, self._pause_s / max(passed - self._pause_s, 1e-3)))  # were the pause saved up, or lost
            self._is_sure, self._grain = True, self._doubt / n
            estimate = min(self.rate, counted)
        elif not self._is_sure and now - self._cut_at < self.WAVE_S:
            return
        else:
            estimate = self._start * self.BELOW if self._is_sure else self.rate / 2
            self._grain = 0.0
        self.rate = self._start = max(min(estimate, self.most), self.LEAST)
        self._age, self._age_s, self._pause_s = 0, 0.0, pause_s
        self._cut_at, self._since, self._n_since, self._n_refused = now, now, self.n_left, 0
        self._next = max(self._next, now + 1 / self.rate)


class Tokens:
    """Tokens per minute, where the user named a limit: a call leaves while there is no debt, and its estimate is settled when it returns."""

    def __init__(self, per_minute: float) -> None:
        self._per_s = per_minute / 60
        self._level, self._at = 0.0, -math.inf
        self._usual: float | None = None  # tokens of a call, as seen lately

    def wait_s(self, now: float) -> float:
        self._refill(now)
        return max(0.0, -self._level / self._per_s)

    def left(self, request: Request) -> float:
        """A call leaves; its estimate."""
        estimate = self._usual if self._usual is not None else usual(request.prompt) + (request.question.sampling.max_tokens or 256)
        self._level -= estimate
        return estimate

    def settle(self, estimate: float, completion: Completion | None) -> float:
        """A call returned: how much less than its estimate it really took. One that failed took nothing."""
        used = completion.n_in + completion.n_out if completion is not None else 0
        self._level += estimate - used
        if used:
            self._usual = used if self._usual is None else 0.9 * self._usual + 0.1 * used
        return estimate - used

    def _refill(self, now: float) -> None:
        passed = now - self._at if self._at > -math.inf else 0.0
        self._at = now
        self._level = min(self._level + passed * self._per_s, self._per_s)  # a second's worth may be saved up
