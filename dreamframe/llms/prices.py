"""What calls cost: providers' list prices, as far as they are known here. `dr.Session(prices=)` goes over them; an unknown price stays unknown."""

from __future__ import annotations

import re
from typing import NamedTuple

from dreamframe.call import Completion


class Price(NamedTuple):
    """US dollars for a million tokens."""

    input: float
    output: float
    cached: float | None = None  # of the input, where the provider's prompt cache had it; None: as all input

    def of(self, completion: Completion) -> float:
        """What one answer cost.

        >>> Price(2.0, 8.0, 0.5).of(Completion("hi", n_in=1_000_000, n_cached=500_000, n_out=100_000))
        2.05
        """
        cached = self.input if self.cached is None else self.cached
        fresh = completion.n_in - completion.n_cached
        return (fresh * self.input + completion.n_cached * cached + completion.n_out * self.output) / 1e6


FREE = Price(0.0, 0.0)
"""Of a model in this process, or on a server of one's own."""

AS_OF = "2025-10; Anthropic 2026-10"
"""When the table was written down (Anthropic: platform.claude.com/docs/en/about-claude/pricing). Providers change their prices. A model that costs more
for long prompts (claude-haiku-5-5, gemini-2.5-pro) is left out: a budget that counted the lower price could be passed."""

TABLE: dict[str, Price] = {
    "openai/gpt-5": Price(1.25, 10.0, 0.125),
    "openai/gpt-5-mini": Price(0.25, 2.0, 0.025),
    "openai/gpt-5-nano": Price(0.05, 0.4, 0.005),
    "openai/gpt-4.1": Price(2.0, 8.0, 0.5),
    "openai/gpt-4.1-mini": Price(0.4, 1.6, 0.1),
    "openai/gpt-4.1-nano": Price(0.1, 0.4, 0.025),
    "openai/gpt-4o": Price(2.5, 10.0, 1.25),
    "openai/gpt-4o-mini": Price(0.15, 0.6, 0.075),
    "openai/gpt-4-turbo": Price(10.0, 30.0),
    "openai/gpt-3.5-turbo": Price(0.5, 1.5),
    "openai/o1": Price(15.0, 60.0, 7.5),
    "openai/o3": Price(2.0, 8.0, 0.5),
    "openai/o3-mini": Price(1.1, 4.4, 0.55),
    "openai/o4-mini": Price(1.1, 4.4, 0.275),
    "openai/text-embedding-3-small": Price(0.02, 0.0),
    "openai/text-embedding-3-large": Price(0.13, 0.0),
    "anthropic/claude-fable-5": Price(10.0, 50.0, 1.0),
    "anthropic/claude-fable-5-1": Price(10.0, 50.0, 0.25),
    "anthropic/claude-opus-5-5": Price(4.0, 20.0, 0.2),
    "anthropic/claude-opus-5": Price(5.0, 25.0, 0.5),
    "anthropic/claude-opus-4-8": Price(5.0, 25.0, 0.5),
    "anthropic/claude-opus-4-7": Price(5.0, 25.0, 0.5),
    "anthropic/claude-opus-4-6": Price(5.0, 25.0, 0.5),
    "anthropic/claude-opus-4-5": Price(5.0, 25.0, 0.5),
    "anthropic/claude-sonnet-5-5": Price(2.0, 10.0, 0.1),
    "anthropic/claude-sonnet-5": Price(2.0, 10.0, 0.2),
    "anthropic/claude-sonnet-4-6": Price(3.0, 15.0, 0.3),
    "anthropic/claude-opus-4": Price(15.0, 75.0, 1.5),
    "anthropic/claude-opus-4-1": Price(15.0, 75.0, 1.5),
    "anthropic/claude-sonnet-4": Price(3.0, 15.0, 0.3),
    "anthropic/claude-sonnet-4-5": Price(3.0, 15.0, 0.3),
    "anthropic/claude-haiku-4-5": Price(1.0, 5.0, 0.1),
    "anthropic/claude-3-7-sonnet": Price(3.0, 15.0, 0.3),
    "anthropic/claude-3-5-haiku": Price(0.8, 4.0, 0.08),
    "anthropic/claude-3-haiku": Price(0.25, 1.25, 0.03),
    "mistral/mistral-large": Price(2.0, 6.0),
    "mistral/mistral-medium": Price(0.4, 2.0),
    "mistral/mistral-small": Price(0.1, 0.3),
    "gemini/gemini-2.5-flash": Price(0.3, 2.5, 0.075),
    "gemini/gemini-2.5-flash-lite": Price(0.1, 0.4, 0.025),
    "gemini/gemini-2.0-flash": Price(0.1, 0.4, 0.025),
    "groq/llama-3.1-8b-instant": Price(0.05, 0.08),
    "groq/llama-3.3-70b-versatile": Price(0.59, 0.79),
}

DATED = re.compile(r"-(\d{4}-\d{2}-\d{2}|\d{8}|\d{4}|latest)$")


def listed(name: str) -> Price | None:
    """The price of "provider/model", with or without the date of a snapshot. None where it is not known: one name being the start of another says nothing.

    >>> listed("openai/gpt-4o-mini-2024-07-18")
    Price(input=0.15, output=0.6, cached=0.075)
    >>> listed("openai/gpt-4o-audio-preview") is None
    True
    """
    return TABLE.get(name) or TABLE.get(DATED.sub("", name))
