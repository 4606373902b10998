"""What a run spends, and what its budget still allows."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from dreamframe.errors import BudgetExceededError, SettingError
from dreamframe.models import tokens
from dreamframe.models.base import ModelSettings
from dreamframe.models.prices import DISCOUNT, Price
from dreamframe.models.request import Completion, Question, Request
from dreamframe.run.options import Mode, Purse
from dreamframe.store.shared_budget import Money, SharedBudget

LEAST_OUTPUT = 1_000  # tokens that an answer may have where no max_tokens= is given and none was longer
IDLE_S = 1.0  # what was leased of a shared budget and not needed for so long, others may have


def prices_of(given: Mapping[str, Any] | None) -> dict[str, Price]:
    """Prices as the user gives them: {"provider/model" or "model": (input, output[, cached[, written]])}, US dollars for a million tokens."""
    made: dict[str, Price] = {}
    for name, price in (given or {}).items():
        try:
            n_in, n_out, *others = price
            cached, written = (None if p is None else float(p) for p in [*others, *[None] * (2 - len(others))])
            made[name] = Price(float(n_in), float(n_out), cached, written)
        except (TypeError, ValueError) as exc:
            raise SettingError(
                f"Session: prices={{{name!r}: {price!r}}}; give (input, output), and maybe what input costs that the provider's cache had, and keeps: "
                "(input, output, cached, written), in $ per million."
            ) from exc
        if any(p is not None and not 0 <= p < float("inf") for p in made[name][:4]):
            raise SettingError(f"Session: prices={{{name!r}: {price!r}}}; a price is 0 or more.")
    return made


class Spend:
    """What one run takes out of the purse: prices by question, what was spent, and what its calls in flight may cost at most."""

    def __init__(self, *, purse: Purse, prices: Mapping[str, Price], mode: Mode = "calls", shared: SharedBudget | None = None) -> None:
        self._mode = mode
        self._purse = purse
        *_, self._root = purse.all()  # the session's own
        self._shared = shared if self._root.budget is not None else None  # what other processes on the folder leave of that
        self._has_begun = False  # to ask
        self._prices = prices
        self._known: dict[str, tuple[Any, Price | None]] = {}  # digest of a question → its model and the price
        self._reserved: dict[bytes, float] = {}  # key → at most
        self._longest: dict[str, int] = {}  # digest of a question → tokens of its longest answer

    def price(self, question: Question) -> Price | None:
        """Of the question's model; None where nobody knows."""
        known = self._known.get(question.digest)
        if known is None or (known[0] is not question.llm and known[0] != question.llm):  # settings beside its identity may name another price
            known = self._known[question.digest] = (question.llm, self.look_up(question.llm))
        return known[1]

    def look_up(self, llm: Any) -> Price | None:
        assert isinstance(llm, ModelSettings), type(llm)
        names = [name for name in (f"{llm.provider}/{llm.label}", llm.label) if name in self._prices]
        price = self._prices[names[0]] if names else llm.price
        if price is None or self._mode != "batch" or not getattr(llm, "has_batches", False):
            return price
        return price.times(DISCOUNT)

    def begin(self) -> None:
        """The run begins to ask."""
        if self._shared is not None and not self._has_begun:
            self._has_begun = True
            self._shared.come()

    def permit(self, request: Request) -> bool:
        """Whether a call may leave now; False while the ones in flight could still use up what is left. Raises BudgetExceededError if it never may."""
        limited = self._purse.limited()
        if not limited:
            return True
        price = self.price(request.question)
        llm: Any = request.question.llm
        if price is None:
            raise BudgetExceededError(
                f"the price of {llm.label!r} is not known, so budget= cannot be kept. Give it: dr.Session(budget=…, prices={{{llm.label!r}: (input, output)}})"
            )
        at_most = self._at_most(request, price)
        for purse in limited:
            left = (purse.budget or 0.0) - purse.spent
            if purse.reserved + at_most > left:
                if purse.reserved > 0:
                    return False
                raise BudgetExceededError(f"the next call to {llm.label!r} could cost ${at_most:.4f}, and ${max(0.0, left):.4f} of the budget is left")
        if self._shared is not None and not self._shared.permits(at_most, self._money(), called=llm.label):
            return False
        self._reserved[request.key] = at_most
        for purse in self._purse.all():
            purse.reserved += at_most
        return True

    def _at_most(self, request: Request, price: Price) -> float:
        """US dollars. An answer is as long as it may be, or as the longest seen."""
        question = request.question
        n_in = tokens.at_most(request.prompt, question.system, question.json_schema)
        n_out = question.sampling.max_tokens or max(LEAST_OUTPUT, self._longest.get(question.digest, 0))
        return price.at_most(n_in, n_out)

    def release(self, request: Request) -> None:
        """The call is over, one way or the other."""
        if (at_most := self._reserved.pop(request.key, None)) is not None:
            self._purse.give_back(at_most)

    def close(self) -> None:
        """The run is over: what it had reserved is for others."""
        self._purse.give_back(sum(self._reserved.values()))
        self._reserved.clear()
        if self._shared is not None and self._has_begun:
            self._has_begun = False
            self._shared.leave()

    async def share(self) -> None:
        """The run asks: again and again, let other processes have what was leased of the budget and is not needed."""
        while self._shared is not None:
            await asyncio.sleep(IDLE_S)
            self._shared.lend(self._money())

    def _money(self) -> Money:
        return Money(self._root.budget or 0.0, self._root.spent, self._root.reserved)

    def settle(self, request: Request, completion: Completion) -> float | None:
        """The call was answered: what it cost, None where nobody knows."""
        price = self.price(request.question)
        if self._purse.limited():
            self.release(request)
            digest = request.question.digest
            self._longest[digest] = max(self._longest.get(digest, 0), completion.n_out)
        if price is None:
            return None
        cost = price.of(completion)
        for purse in self._purse.all():
            purse.spent += cost
        if self._shared is not None:
            self._shared.spend(self._root.spent)
        return cost
