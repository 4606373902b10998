"""The verb that finds better prompts for a plan, and the one that tells what was tried."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

import polars as pl

from dreamframe.errors import SettingError, listed
from dreamframe.frame.arguments import as_llm
from dreamframe.frame.base import Verbs, whole
from dreamframe.frame.model import Model
from dreamframe.models.base import LLM
from dreamframe.models.habits import described
from dreamframe.plan.steps.prompt import PromptStep
from dreamframe.run.active import current

if TYPE_CHECKING:
    from dreamframe.frame.scoring import Metric

V = TypeVar("V", bound="TuneVerbs")  # Self, as jedi understands it too


class TuneVerbs(Verbs):
    """tune, candidates."""

    __slots__ = ()

    def tune(
        self: V,
        gold: str | Verbs | pl.DataFrame,
        *,
        by: LLM | Model | str,
        metric: Metric | None = None,
        budget: float | None = None,
        calls: int | None = None,
        only: str | Sequence[str] | None = None,
        seed: int = 0,
        holdout: float = 0.3,
        max_chars: int | None = None,
    ) -> V:
        """Find better prompts for this plan by rows whose right answers are known, and give the same plan with these: an ordinary plan.

        `gold` is a column of this frame with the right answers, null where none is known; or a frame of labelled rows, with the columns that the plan
        reads and one of right answers, which may be called as the answer is. An answer scores 1 if it equals the right one, else 0. `metric` scores
        otherwise, the rows that the plan gives with the columns of gold beside them (a right answer that is called as the answer is `gold`): one of
        `dr.metrics` that is a mean over rows, such as `dr.metrics.exact_match("name", "gold")`; an expression; or a function of a row, a dict, that gives
        a number, the more the better, or (number, what is to be said of the answer): the more it tells, the better a model can learn from it.
        `only` names the columns whose prompts are tuned; without it, all that the plan's models write.

        `by` is the model that reads answers and what is said of them, and proposes prompts; small models cannot do it. It runs now, in the session, by
        GEPA (Agrawal et al. 2025, https://arxiv.org/abs/2507.19457; pip install 'dreamframe[tune]'). The share `holdout` of the rows, drawn by their
        content and `seed`, is not looked at before the search is over: then the prompts that were best on the others are tried on them, and are taken
        only if they are better than those there were. If they are not, the plan comes back as it was, and says so. A prompt that loses a `{column}`,
        reads another one, or has more than `max_chars` characters (2,000, or as many as it had) is not tried, and the model is told why.

        `budget` (US dollars) and `calls` (requests) limit it, at least one of them. Both count what answers cost, whether they are kept already or not,
        so that a second call goes the same way: every answer and every proposal is kept as any other, and what came out is too, so that it asks
        nothing, offline as well. `df.candidates()` is the frame of what was tried; `explain`, the card and the plan's JSON tell the score.

        Raises SettingError for what does not fit together, before anything is asked; BudgetExceededError where the limit does not even cover the
        prompts as they are; RunError where the metric raises or no row gets an answer. Single rows that fail score 0.

        >>> def mood(asked):  # a model that needs to be told to answer in one word
        ...     found = "good" if "nice" in asked else "bad"
        ...     return found if "one word" in asked else f"It is {found}."
        >>> small = dr.testing.Scripted(mood, model="small")
        >>> strong = dr.testing.Scripted(lambda asked: "```Say good or bad, in one word: {t}```", model="strong")
        >>> rows = dr.frame({"t": [f"{a} tea {i}" for i in range(5) for a in ("nice", "stale")], "right": ["good", "bad"] * 5})
        >>> better = rows.prompt(small, "Say good or bad: {t}", into="mood").tune("right", by=strong, calls=100)
        >>> better.candidates().select("mood_prompt", "train", "held_out", "chosen").rows()
        [('Say good or bad: {t}', 0.0, 0.0, False), ('Say good or bad, in one word: {t}', 1.0, 1.0, True)]
        """
        if budget is None and calls is None:
            raise SettingError("tune: say how much may be asked: budget=2.0, in US dollars, or calls=500, or both.")
        for name, value in (("budget", budget), ("holdout", holdout)):
            if value is not None and not (_is_number(value) and value > 0):
                raise SettingError(f"tune: {name}={value!r} is not a number above 0.")
        if holdout >= 1:
            raise SettingError(f"tune: holdout={holdout!r} is a share of the rows, below 1.")
        if not isinstance(gold, (str, Verbs, pl.DataFrame)):
            raise SettingError(f"tune: gold={described(gold)} is neither a column nor a frame; give the column of right answers, or dr.frame(...) of rows.")
        from dreamframe.frame.tuning import tune as search  # building a plan does not need it

        given = search.Settings(
            by=as_llm(by, verb="tune"),
            metric=metric,
            budget=budget,
            calls=None if calls is None else whole(calls, "calls", verb="tune", least=1),
            only=only,
            seed=whole(seed, "seed", verb="tune", least=None),
            holdout=holdout,
            max_chars=None if max_chars is None else whole(max_chars, "max_chars", verb="tune", least=1),
        )
        return self._over(search.tuned(current(self.step), self.step, gold.step if isinstance(gold, Verbs) else gold, given))

    def candidates(self, column: str | None = None) -> pl.DataFrame:
        """What `tune` tried for the prompts of this plan, in order: a row for each candidate, the first being the prompts as they were.

        Columns: `candidate` and `parent`, the one that it was made of; `<column>_prompt` for each prompt that was tuned; `train`, the mean score on the
        rows that were learnt from (null where it was not tried on all of them); `held_out`, that on the rows which were held out, of the first and the
        best; `calls` and `cost` (US dollars, null where a price is not known) that were spent on it; `chosen`; and `note`, what became of it.

        `column` says which, where several prompts were tuned one after the other. Raises SettingError where none was, or in another session.

        >>> shout = dr.testing.Scripted(lambda asked: asked.upper() if "loud" in asked else asked, model="shout")
        >>> strong = dr.testing.Scripted(lambda asked: "```loud {t}```", model="strong")
        >>> rows = dr.frame({"t": ["tea", "jam", "rye", "oat"], "right": ["LOUD TEA", "LOUD JAM", "LOUD RYE", "LOUD OAT"]})
        >>> rows.prompt(shout, "{t}", into="said").tune("right", by=strong, calls=20).candidates().select("said_prompt", "train", "chosen").rows()
        [('{t}', 0.0, False), ('loud {t}', 1.0, True)]
        """
        from dreamframe.frame.tuning.tried import schema_of
        from dreamframe.plan.variants import name_of

        runs = {name_of(node): dict(node.tuned)["run"] for node in self.step.walk() if isinstance(node, PromptStep) and node.tuned}
        if not runs:
            raise SettingError("candidates: no prompt of this plan was tuned; df.tune(gold, by=strong, budget=2.0) does it.")
        if column is None and len(set(runs.values())) > 1:
            raise SettingError(f"candidates: {listed(runs)} were tuned one after the other; say which: df.candidates({list(runs)[-1]!r}).")
        if column is not None and column not in runs:
            raise SettingError(f"candidates: the prompt of {column!r} was not tuned; {listed(runs)} was.")
        run = next(iter(runs.values())) if column is None else runs[column]
        session = current(self.step)
        found = session.findings.find(run, schema_of([name for name, key in runs.items() if key == run]))
        if found is None:
            raise SettingError(f"candidates: {session!r} does not hold what was tried; enter the session in which the plan was tuned, or tune it there.")
        return found


def _is_number(value: object) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)
