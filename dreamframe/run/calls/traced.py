"""How a run asks whose requests are to be seen as spans: as every run, and each request is told of when it leaves and when it is over."""

from __future__ import annotations

from collections.abc import Sequence

from dreamframe.errors import CallError
from dreamframe.models.embedders.openai import Pack
from dreamframe.models.request import Completion, Failure, Question, Request
from dreamframe.run.calls.journal_first import RunAsking
from dreamframe.run.calls.spend import Spend
from dreamframe.run.options import RunOptions
from dreamframe.run.stats import RunStats, StepStats
from dreamframe.store.answers import Answers


class TracedAsking(RunAsking):
    """Asks, and tells of it. What is kept is not a request, and what a batch API answers hours later is counted in its step alone."""

    def __init__(self, answers: Answers, stats: RunStats, *, spend: Spend, options: RunOptions) -> None:
        super().__init__(answers, stats, spend=spend, options=options)
        assert options.spans is not None
        self._watches = options.spans

    def permit(self, request: Request) -> bool:
        may_leave = super().permit(request)
        if may_leave:
            self._watches.leaves(request)
        return may_leave

    def answered(self, request: Request, completion: Completion, *, paid: bool) -> None:
        super().answered(request, completion, paid=paid)
        if self._watches.is_open(request):
            self._watches.answered(request, [completion], self._cost_of(request, [completion]) if paid else None)

    def released(self, request: Request, error: CallError | None = None) -> None:
        super().released(request, error)
        if isinstance(request, Pack) and request.completions:
            self._watches.answered(request, request.completions, self._cost_of(request, request.completions))
        else:
            self._watches.failed(request, error)

    def _cost_of(self, request: Request, completions: Sequence[Completion]) -> float | None:
        price = self._spend.price(request.question)
        return None if price is None else sum(price.of(c) for c in completions)

    async def _ask(self, question: Question, requests: Sequence[Request], stats: StepStats, order: int) -> dict[int, Failure]:
        failures = await super()._ask(question, requests, stats, order)
        for position, failure in failures.items():  # what failed while it waited for another try
            self._watches.failed(requests[position], failure)
        return failures

    async def close(self) -> None:
        await super().close()
        self._watches.give_up()
