"""What calls cost: providers' list prices, as far as they are known here. `dr.Session(prices=)` goes over them; an unknown price stays unknown."""

from __future__ import annotations

import re
from typing import NamedTuple

from dreamframe.models.request import Completion

DISCOUNT = 0.5  # what a call by a provider's batch API costs of the price of one by itself


class Long(NamedTuple):
    """What a call with a long prompt costs more: all of it, not the part beyond."""

    over: int  # input tokens
    input: float = 2.0  # times as much; so for what the cache had or keeps
    output: float = 1.5


class Price(NamedTuple):
    """US dollars for a million tokens."""

    input: float
    output: float
    cached: float | None = None  # of the input, where the provider's prompt cache had it; None: as all input
    written: float | None = None  # of the input, where it went into that cache; None: as all input
    long: Long | None = None

    def of(self, completion: Completion) -> float:
        """What one answer cost.

        >>> Price(2.0, 8.0, 0.5).of(Completion("hi", n_in=1_000_000, n_cached=500_000, n_out=100_000))
        2.05
        """
        return self._of(completion.n_in, completion.n_out, completion.n_cached, completion.n_written)

    def of_tokens(self, n_in: float, n_out: float, n_cached: float = 0) -> float:
        """What a call of so many tokens costs.

        >>> Price(2.0, 8.0, 0.5).of_tokens(1_000_000, 100_000, 500_000)
        2.05
        """
        return self._of(n_in, n_out, n_cached, 0)

    def at_most(self, n_in: float, n_out: float) -> float:
        """What a call of so many tokens costs, if all of its prompt goes into the cache.

        >>> Price(2.0, 8.0, written=2.5, long=Long(200_000)).at_most(1_000_000, 0)
        5.0
        """
        return self._of(n_in, n_out, 0, n_in if (self.written or 0.0) > self.input else 0)

    def times(self, factor: float) -> Price:
        """A part of the price."""
        cached, written = (None if p is None else p * factor for p in (self.cached, self.written))
        return Price(self.input * factor, self.output * factor, cached, written, self.long)

    def _of(self, n_in: float, n_out: float, n_cached: float, n_written: float) -> float:
        cached = self.input if self.cached is None else self.cached
        written = self.input if self.written is None else self.written
        made = max(0, n_in - n_cached - n_written) * self.input + n_cached * cached + n_written * written
        if self.long is not None and n_in > self.long.over:
            return (made * self.long.input + n_out * self.output * self.long.output) / 1e6
        return (made + n_out * self.output) / 1e6


FREE = Price(0.0, 0.0)
"""Of a model in this process, or on a server of one's own."""

AS_OF = "2026-11"
"""When the table was compared with the providers' (Anthropic: platform.claude.com/docs/en/about-claude/pricing, 2026-10; others: the list that litellm 1.110.2
brings). Providers change their prices. A name that moves between models of different prices (mistral-large-latest) is left out."""

_LONG_OPENAI, _LONG_GEMINI = Long(272_000), Long(200_000)
TABLE: dict[str, Price] = {
    "openai/gpt-6.1-sol": Price(2.0, 10.0, 0.1, 2.5, _LONG_OPENAI),
    "openai/gpt-6.1-terra": Price(1.0, 5.0, 0.05, 1.25, _LONG_OPENAI),
    "openai/gpt-6-astra": Price(10.0, 50.0, 1.0, 12.5, _LONG_OPENAI),
    "openai/gpt-6-sol": Price(2.0, 10.0, 0.2, 2.5, _LONG_OPENAI),
    "openai/gpt-6-luna": Price(0.1, 0.5, 0.01, 0.125, _LONG_OPENAI),
    "openai/gpt-5.6": Price(4.0, 20.0, 0.4, 5.0, _LONG_OPENAI),
    "openai/gpt-5.6-sol": Price(4.0, 20.0, 0.4, 5.0, _LONG_OPENAI),
    "openai/gpt-5.6-terra": Price(2.0, 12.0, 0.2, 2.5, _LONG_OPENAI),
    "openai/gpt-5.6-luna": Price(0.2, 1.2, 0.02, 0.25, _LONG_OPENAI),
    "openai/gpt-5.5": Price(5.0, 30.0, 0.5, long=_LONG_OPENAI),
    "openai/gpt-5.5-pro": Price(30.0, 180.0, long=_LONG_OPENAI),
    "openai/gpt-5.4": Price(2.5, 15.0, 0.25, long=_LONG_OPENAI),
    "openai/gpt-5.4-mini": Price(0.75, 4.5, 0.075),
    "openai/gpt-5.4-nano": Price(0.2, 1.25, 0.02),
    "openai/gpt-5.4-pro": Price(30.0, 180.0, long=_LONG_OPENAI),
    "openai/gpt-5.2": Price(1.75, 14.0, 0.175),
    "openai/gpt-5.2-pro": Price(21.0, 168.0),
    "openai/gpt-5.1": Price(1.25, 10.0, 0.125),
    "openai/gpt-5": Price(1.25, 10.0, 0.125),
    "openai/gpt-5-mini": Price(0.25, 2.0, 0.025),
    "openai/gpt-5-nano": Price(0.05, 0.4, 0.005),
    "openai/gpt-5-pro": Price(15.0, 120.0),
    "openai/gpt-4.1": Price(2.0, 8.0, 0.5),
    "openai/gpt-4.1-mini": Price(0.4, 1.6, 0.1),
    "openai/gpt-4.1-nano": Price(0.1, 0.4, 0.025),
    "openai/gpt-4o": Price(2.5, 10.0, 1.25),
    "openai/gpt-4o-2024-05-13": Price(5.0, 15.0),
    "openai/gpt-4o-mini": Price(0.15, 0.6, 0.075),
    "openai/gpt-4-turbo": Price(10.0, 30.0),
    "openai/gpt-3.5-turbo": Price(0.5, 1.5),
    "openai/gpt-3.5-turbo-1106": Price(1.0, 2.0),
    "openai/gpt-3.5-turbo-0613": Price(1.5, 2.0),
    "openai/o1": Price(15.0, 60.0, 7.5),
    "openai/o3": Price(2.0, 8.0, 0.5),
    "openai/o3-pro": Price(20.0, 80.0),
    "openai/o3-mini": Price(1.1, 4.4, 0.55),
    "openai/o4-mini": Price(1.1, 4.4, 0.275),
    "openai/text-embedding-3-small": Price(0.02, 0.0),
    "openai/text-embedding-3-large": Price(0.13, 0.0),
    "anthropic/claude-fable-5": Price(10.0, 50.0, 1.0, 12.5),
    "anthropic/claude-fable-5-1": Price(10.0, 50.0, 0.25, 12.5),
    "anthropic/claude-opus-5-5": Price(4.0, 20.0, 0.2, 5.0),
    "anthropic/claude-opus-5": Price(5.0, 25.0, 0.5, 6.25),
    "anthropic/claude-opus-4-8": Price(5.0, 25.0, 0.5, 6.25),
    "anthropic/claude-opus-4-7": Price(5.0, 25.0, 0.5, 6.25),
    "anthropic/claude-opus-4-6": Price(5.0, 25.0, 0.5, 6.25),
    "anthropic/claude-opus-4-5": Price(5.0, 25.0, 0.5, 6.25),
    "anthropic/claude-opus-4-1": Price(15.0, 75.0, 1.5, 18.75),
    "anthropic/claude-opus-4": Price(15.0, 75.0, 1.5, 18.75),
    "anthropic/claude-sonnet-5-5": Price(2.0, 10.0, 0.1, 2.5),
    "anthropic/claude-sonnet-5": Price(2.0, 10.0, 0.2, 2.5),
    "anthropic/claude-sonnet-4-6": Price(3.0, 15.0, 0.3, 3.75),
    "anthropic/claude-sonnet-4-5": Price(3.0, 15.0, 0.3, 3.75),
    "anthropic/claude-sonnet-4": Price(3.0, 15.0, 0.3, 3.75),
    "anthropic/claude-haiku-5-5": Price(0.1, 0.5, 0.01, 0.125, Long(100_000, 5.0, 5.0)),
    "anthropic/claude-haiku-4-5": Price(1.0, 5.0, 0.1, 1.25),
    "anthropic/claude-3-7-sonnet": Price(3.0, 15.0, 0.3, 3.75),
    "anthropic/claude-3-5-haiku": Price(0.8, 4.0, 0.08, 1.0),
    "anthropic/claude-3-haiku": Price(0.25, 1.25, 0.03, 0.3125),
    "mistral/mistral-large-4": Price(0.7, 2.1, 0.07),
    "mistral/mistral-large-2512": Price(0.5, 1.5, 0.05),
    "mistral/mistral-medium-2604": Price(1.5, 7.5, 0.15),
    "mistral/mistral-small-2603": Price(0.15, 0.6, 0.015),
    "mistral/ministral-14b-2512": Price(0.2, 0.2, 0.02),
    "mistral/ministral-8b-2512": Price(0.15, 0.15, 0.015),
    "mistral/ministral-3b-2512": Price(0.1, 0.1, 0.01),
    "mistral/codestral-2508": Price(0.3, 0.9, 0.03),
    "mistral/mistral-embed": Price(0.1, 0.0),
    "gemini/gemini-4-argon": Price(2.0, 10.0, 0.1),
    "gemini/gemini-4-hydrogen": Price(1.5, 7.5, 0.075),
    "gemini/gemini-3.8-flash": Price(0.75, 3.75, 0.075),
    "gemini/gemini-3.7-flash": Price(0.75, 3.75, 0.075),
    "gemini/gemini-3.6-flash": Price(0.75, 3.75, 0.075),
    "gemini/gemini-3.5-flash": Price(1.5, 9.0, 0.15),
    "gemini/gemini-3.5-flash-lite": Price(0.3, 2.5, 0.03),
    "gemini/gemini-3.1-pro-preview": Price(2.0, 12.0, 0.2, long=_LONG_GEMINI),
    "gemini/gemini-3.1-flash-lite": Price(0.25, 1.5, 0.025),
    "gemini/gemini-3-flash-preview": Price(0.5, 3.0, 0.05),
    "gemini/gemini-2.5-pro": Price(1.25, 10.0, 0.125, long=_LONG_GEMINI),
    "gemini/gemini-2.5-flash": Price(0.3, 2.5, 0.03),
    "gemini/gemini-2.5-flash-lite": Price(0.1, 0.4, 0.01),
    "groq/openai/gpt-oss-120b": Price(0.15, 0.6, 0.075),
    "groq/openai/gpt-oss-20b": Price(0.075, 0.3, 0.0375),
    "deepseek/deepseek-v4-pro": Price(1.32, 3.96, 0.044),
    "deepseek/deepseek-v4-flash": Price(0.3, 1.2, 0.006),
}

DATED = re.compile(r"-(\d{4}-\d{2}-\d{2}|\d{8}|\d{4}|latest)$")


def listed(name: str) -> Price | None:
    """The price of "provider/model", with or without the date of a snapshot. None where it is not known: one name being the start of another says nothing.

    >>> listed("openai/gpt-4o-mini-2024-07-18")
    Price(input=0.15, output=0.6, cached=0.075, written=None, long=None)
    >>> listed("openai/gpt-4o-audio-preview") is None
    True
    """
    return TABLE.get(name) or TABLE.get(DATED.sub("", name))
