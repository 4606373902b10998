"""What the steps of a plan asked about all of its rows: every request with its tokens, price and time, out of what is kept. Nothing is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dreamframe.plan.step import ModelStep, Step
from dreamframe.redaction.redactor import Redactor
from dreamframe.run.options import RunOptions
from dreamframe.run.why.calls import Looking
from dreamframe.run.why.story import CallTold
from dreamframe.run.why.trace import Replay
from dreamframe.store.stores import Stores

Told = Sequence[tuple[Step, tuple[CallTold, ...]]]  # steps as they were written, each with its requests; equal requests stand once for each row


class Accounts(Replay):
    """A replay of all rows at once, which notes what is asked. What table steps ask (an index, a reduction) is not among it."""

    def __init__(self, *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        self._noted: list[tuple[Sequence[Step], dict[int, list[CallTold]]]] = []

    def _looking(self, steps: Sequence[Step]) -> Looking:
        noted: dict[int, list[CallTold]] = {}
        self._noted.append((steps, noted))
        return Looking(self.state, self._spend, noted=noted)

    async def told(self) -> Told:
        """The requests of each step that rows stream through, in the order of the plan."""
        async with self._running([self._written]):
            waiting, seen = [self._as_run()], set[int]()
            while waiting:
                if id(node := waiting.pop()) in seen or isinstance(node, ModelStep):
                    continue
                seen.add(id(node))
                if (found := await self._stream(node)) is None:
                    waiting += node.inputs
                    continue
                stream, below = found
                await stream.everything()
                waiting += [below, *(i for step in stream.steps for i in step.inputs[1:])]
        calls: dict[int, list[CallTold]] = {}
        for steps, noted in self._noted:
            for place, asked in noted.items():
                calls.setdefault(self._place(steps[place]), []).extend(asked)
        return [(step, tuple(calls.get(id(step), ()))) for step in self._written.walk()]


async def accounts(stores: Stores, options: RunOptions, knows: Redactor, step: Step) -> Told:
    """What each step of a plan that has run asked."""
    failed: Mapping[tuple[str, str], str] = {}
    return await Accounts(stores, options, step, most=1, failed=lambda: failed, knows=knows).told()
