"""Where a plan is cut into segments: the row steps, and separable polars steps between them, that rows can stream through in one go."""

from __future__ import annotations

from collections.abc import Sequence

from dreamframe.plan.step import PolarsStep, RowStep, Step
from dreamframe.run.outputs import Outputs
from dreamframe.run.state import RunState
from dreamframe.run.storing import holds_of_any, read_twice


class Segments:
    """The cuts of one run: at what is stored, and at what several steps read."""

    def __init__(self, state: RunState, outputs: Outputs) -> None:
        self._state, self._outputs = state, outputs
        self._shared: set[str] = set()  # keys of steps that several steps read: their rows are made once, for all of them
        self._row_steps_below: dict[int, tuple[Step, bool]] = {}  # by id of the step
        self._row_steps: dict[int, tuple[Step, bool]] = {}  # by id of the step, which it keeps alive: whether the segment up to it holds a row step

    def share(self, plans: Sequence[Step]) -> None:
        """What several steps of these plans read is run once, and a segment of its own."""
        self._shared |= read_twice(plans, self._state.key)

    def segment(self, step: Step) -> list[Step]:
        """The steps that run as one segment up to `step`, lowest first; empty if there is no row step."""
        steps: list[Step] = []
        if not self._has_row_step(step):
            return steps
        while step.is_streamed:
            if steps and self._begins_anew(step):
                break
            steps.append(step)
            step = step.inputs[0]
        while not isinstance(steps[-1], RowStep):
            steps.pop()  # polars steps at the bottom belong to the query that feeds the segment
        return steps[::-1]

    def query(self, step: PolarsStep) -> list[PolarsStep]:
        """The adjacent polars steps that make one query up to `step`, lowest first: no rows are made between them."""
        steps = [step]
        while len(steps[-1].inputs) == 1 and isinstance(below := steps[-1].inputs[0], PolarsStep) and not self._has_rows(below):
            steps.append(below)
        return steps[::-1]

    def query_of(self, step: Step) -> list[PolarsStep]:
        """As `query`, of any step: empty where no query has to run for its rows alone, since they are a source's, kept, or streamed."""
        if not isinstance(step, PolarsStep) or self._state.worth.is_kept(step) or self._has_row_step(step) or self._outputs.find(step) is not None:
            return []
        return self.query(step)

    def is_made_once(self, step: Step, chain: Sequence[PolarsStep]) -> bool:
        """Whether several steps read the rows of a query that is more than a look at each row: in each reader's query it would run again, and where
        readers of readers are read twice, twice as often with every step."""
        return self._state.key(step) in self._shared and not all(s.is_streamed for s in chain)

    def _has_rows(self, step: Step) -> bool:
        """Whether the rows of a step are made by themselves: kept, read by several, or streamed."""
        return self._state.key(step) in self._shared or self._state.worth.is_kept(step) or self._has_row_step(step)

    def _has_row_step(self, step: Step) -> bool:
        """Whether the segment up to a step holds a row step. Every step is looked at once, however long the plan is."""
        if not holds_of_any(step, lambda node: isinstance(node, RowStep), self._row_steps_below):
            return False  # nobody has to look at the expressions of a plan that polars runs alone
        passed: list[Step] = []
        while (known := self._row_steps.get(id(step))) is None:
            passed.append(step)
            if isinstance(step, RowStep):
                known = (step, True)
                break
            if not step.is_streamed or self._begins_anew(step.inputs[0]):
                known = (step, False)
                break
            step = step.inputs[0]
        self._row_steps.update((id(s), (s, known[1])) for s in passed)
        return known[1]

    def _begins_anew(self, step: Step) -> bool:
        """Whether a segment above a step reads its rows as they are stored, or made for several."""
        return self._state.key(step) in self._shared or self._outputs.find(step) is not None
