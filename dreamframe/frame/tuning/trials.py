"""Trials of prompts on labelled rows: runs of the plan in the session, each row once for each candidate, within limits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl

from dreamframe.errors import BudgetExceededError, RunError
from dreamframe.frame.tuning.rules import example, told_of
from dreamframe.frame.tuning.search import Outcome
from dreamframe.frame.tuning.tried import Texts
from dreamframe.measure.by_row import Score
from dreamframe.models.base import LLM
from dreamframe.plan.step import Step
from dreamframe.plan.steps.prompt import PromptStep
from dreamframe.plan.steps.source import Table
from dreamframe.plan.variants import Part, asked_of, name_of, with_text
from dreamframe.prompts.base import Template
from dreamframe.run.active import ActiveSession

SHOWN = 2_000  # characters of a value that the reflecting model is shown
RIGHT = "gold"  # what the right answers are called beside an answer of the same name


@dataclass(frozen=True)
class Labelled:
    """Rows with what is right of them."""

    fed: pl.DataFrame  # what the plan is run over
    beside: pl.DataFrame  # what it does not see
    right: str | None  # the column of right answers, if it is known which

    def row_of(self, out: pl.DataFrame, rows: Sequence[int]) -> pl.DataFrame:
        """What the plan gave of some rows, with their other columns."""
        more = [self.fed.get_column(c).gather(list(rows)) for c in self.fed.columns if c not in out.columns]
        more += [self.beside.get_column(c).gather(list(rows)).alias(self.named(c, out.columns)) for c in self.beside.columns]
        return out.hstack(more)

    def named(self, column: str, have: Sequence[str]) -> str:
        """What a column is called among those that the plan gives: one beside it gets another name where the plan gives one of its name."""
        if column not in have or column not in self.beside.columns:
            return column
        return RIGHT if column == self.right and RIGHT not in have else f"{RIGHT}_{column}"


@dataclass(frozen=True)
class Limits:
    """How much a search may ask. What is kept already counts as well, so that a second search goes the same way."""

    calls: int | None
    budget: float | None  # US dollars
    held_out: int  # rows that are scored twice when the search is over

    def need(self, n_rows: int, each: int) -> str | None:
        """Why the limits do not even cover the prompts as they are; None where they do."""
        least = (n_rows + 2 * self.held_out) * each
        if self.calls is None or self.calls >= least:
            return None
        return (
            f"calls={self.calls} does not cover the prompts as they are on {n_rows} rows, and these and the best ones on {self.held_out} that are held out: "
            f"that takes {least}; give more, or fewer rows of gold"
        )


@dataclass
class RunTrials:
    """Runs of the plan, and what they found. As `search.Trials`."""

    session: ActiveSession
    part: Part
    names: Mapping[str, PromptStep]
    rows: Labelled
    by: LLM
    scored: Callable[[pl.DataFrame], list[Score]]
    limits: Limits
    is_searching: bool = True  # False: the rows that are held out may be paid for
    asked: dict[str, float | None] = field(default_factory=dict)  # key of a request → US dollars
    n_failed: int = 0
    _known: dict[tuple[str, ...], dict[int, Outcome]] = field(default_factory=dict)
    _dearest: float | None = None  # US dollars of a row, in the dearest run so far
    _requests: dict[str, int] = field(default_factory=dict)  # what the reflecting model was asked → how often

    @property
    def n_asked(self) -> int:
        """Requests so far, each once; those that failed count each time."""
        return len(self.asked) + self.n_failed

    @property
    def cost(self) -> float | None:
        """US dollars of all answers; None where a price is not known."""
        return None if None in self.asked.values() else sum(c or 0.0 for c in self.asked.values())

    @property
    def each(self) -> int:
        """Requests about one row."""
        return sum(node.n for node in self.part.chain if isinstance(node, PromptStep))

    def outcomes(self, texts: Texts, rows: Sequence[int]) -> list[Outcome]:
        """What becomes of rows with these prompts; each row is run once."""
        known = self._known.setdefault(tuple(texts[name] for name in self.names), {})
        if new := sorted({at for at in rows if at not in known}):
            self._check_limits(len(new) * self.each, len(new))
            known.update(zip(new, self._run(texts, new), strict=True))
        return [known[at] for at in rows]

    def reflect(self, request: str) -> str:
        """What the reflecting model answers; asked the same again, another sample. Raises RowsFailedError where it fails."""
        self._check_limits(1, 0)
        n = self._requests[request] = self._requests.get(request, 0) + 1
        step = reflecting(self.by, [request] * n)
        text: str = self._collected([step])[0].get_column("proposal")[-1]
        self._account(step)
        return text

    # Limits

    def _check_limits(self, n_calls: int, n_rows: int) -> None:
        kept_back = self.limits.held_out * 2 if self.is_searching else 0
        if self.limits.calls is not None and self.n_asked + n_calls + kept_back * self.each > self.limits.calls:
            raise BudgetExceededError(f"calls={self.limits.calls} are asked, but for those that the rows which are held out take")
        if self.limits.budget is not None and (self.cost or 0.0) + (n_rows + kept_back) * (self._dearest or 0.0) > self.limits.budget:
            raise BudgetExceededError(f"budget={self.limits.budget:g} is spent, but for what the rows which are held out take")

    def _collected(self, steps: Sequence[Step]) -> list[pl.DataFrame]:
        if self.limits.budget is None:
            return self.session.collect_all(steps, is_trial=True)
        kept_back = self.limits.held_out * 2 * (self._dearest or 0.0) if self.is_searching else 0.0
        return self.session.collect_all(steps, is_trial=True, at_most=max(0.0, self.limits.budget - (self.cost or 0.0) - kept_back))

    # Runs

    def _run(self, texts: Texts, rows: Sequence[int]) -> list[Outcome]:
        plan, steps = self.part.over(self.rows.fed[list(rows)], change=lambda step: with_texts(step, texts))
        out, *each = self._collected([plan, *steps])
        failures = self.session.failures(plan)
        failed = {row: f"{error}: {message}" for row, error, message in reversed(failures.select("row", "error", "message").rows())}
        before = self.cost or 0.0
        self._account(plan)
        self.n_failed += failures.height
        spent = ((self.cost or 0.0) - before) / len(rows)
        is_first, self._dearest = self._dearest is None, max(self._dearest or 0.0, spent)
        found = self._outcomes(rows, out, dict(zip(self.names, each, strict=True)), failed)
        if is_first and len(failed) == len(rows):  # it is not the prompt that is to blame
            raise RunError(f"tune: none of the {len(rows)} rows got an answer; the first: {failed[0]}")
        return found

    def _outcomes(self, rows: Sequence[int], out: pl.DataFrame, each: Mapping[str, pl.DataFrame], failed: Mapping[int, str]) -> list[Outcome]:
        beside = self.rows.row_of(out, rows)
        right = None if self.rows.right is None else beside.get_column(self.rows.named(self.rows.right, out.columns)).to_list()
        whole = [i for i in range(beside.height) if i not in failed]  # no metric need know of answers that are not there
        scores = dict(zip(whole, self.scored(beside[whole]), strict=True))
        found = []
        for i in range(beside.height):
            score = scores.get(i, Score(0.0))
            told = told_of(score.value, score.told, () if right is None else (right[i],), failed.get(i))
            answers = {name: cut(table.get_column(self.names[name].into)[i]) for name, table in each.items()}
            read = {name: {c: cut(table.get_column(c)[i]) for c in self.names[name].prompt.columns} for name, table in each.items()}
            found.append(Outcome(score.value, {name: example(read[name], answers[name], told) for name in self.names}, answers))
        return found

    def _account(self, plan: Step) -> None:
        for _, calls in self.session.findings.asked(plan):
            self.asked.update((call.key, call.cost) for call in calls if call.is_kept)


def with_texts(step: PromptStep, texts: Texts) -> PromptStep:
    """The step with the text of its name."""
    return asked_of(step, prompt=with_text(step.prompt, texts[name_of(step)]))


def reflecting(by: LLM, requests: Sequence[str]) -> PromptStep:
    """The step that asks the reflecting model."""
    rows = Table(data=pl.DataFrame({"request": list(requests)}, schema={"request": pl.String}))
    return PromptStep.over(rows, by, Template("{request}"), into="proposal", name="tune")


def cut(value: object) -> str:
    """A value as the reflecting model is shown it."""
    text = str(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
