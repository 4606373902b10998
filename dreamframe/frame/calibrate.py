"""The verb that makes probabilities say how often their answers are right."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from dreamframe.errors import SettingError, need_name
from dreamframe.frame.arguments import need_column
from dreamframe.frame.base import Verbs
from dreamframe.models.habits import described
from dreamframe.plan.steps.prompt import PromptStep

if TYPE_CHECKING:
    from dreamframe.measure.calibrate import Method

V = TypeVar("V", bound="CalibrateVerbs")  # Self, as jedi understands it too


class CalibrateVerbs(Verbs):
    """calibrate."""

    __slots__ = ()

    def calibrate(
        self: V,
        probability: str,
        gold: str,
        *,
        answer: str | None = None,
        labelled: Verbs | None = None,
        into: str | None = None,
        method: Method = "platt",
        name: str | None = None,
    ) -> V:
        """Make probabilities say how often their answers are right, by a small labelled sample: of the answers at 0.8, eight in ten.

        `probability` is the column that `probability=` made, or any other of scores from 0 to 1; `answer` is the column of what they are the probabilities
        of (default: the one that was made with it). `gold` is a column of the right answers, null where they are not known: of these rows, or, with `labelled`,
        of another frame with all three columns, such as the same prompt over labelled rows. 20 rows must have one; 100 or more are worth having, with a
        dozen right answers and a dozen wrong ones among them: where one of the two is rarer, as of two positives in a hundred rows, probabilities that
        are about right as they are become worse. The labels are part of the plan, so another label makes the probabilities anew, and asks no model.

        `method` is "platt" (two numbers, fitted to the logarithm of the odds) or "isotonic" (any rising curve: for some hundreds of labels and more).
        Of a yes or no, the probability of yes is fitted, so that a model that says yes too often is put right as well: its yes may then be less likely
        than 0.5. The column is replaced, or `into` is added. A row without answer has no probability.

        Raises ColumnNotFoundError, SchemaError or SettingError when the plan is built; TooFewRowsError when it runs.

        >>> llm = dr.testing.Scripted(lambda asked: {True: 0.99, False: 0.01})
        >>> df = dr.frame({"t": [f"text {i}" for i in range(100)], "gold": [i % 4 != 0 for i in range(100)]})
        >>> sure = df.prompt(llm, "Is it good? {t}", "good", schema=bool, probability="p")
        >>> sure.calibrate("p", "gold").select(pl.col("p").round(2)).head(1).to_dicts()
        [{'p': 0.75}]
        """
        from dreamframe.plan.steps.calibrate import Calibrate  # most plans have none

        label = name or "calibrate"
        need_column("calibrate", probability)
        need_column("calibrate", gold)
        if into is not None:
            need_name(into, step=label)
        if labelled is not None and not isinstance(labelled, Verbs):
            raise SettingError(f"{label}: labelled={described(labelled)}; give the frame of the labelled rows, with all three columns.")
        made = answer if answer is not None else _answer_of(self, probability, label)
        inputs = (self.step,) if labelled is None else (self.step, labelled.step)
        return self._over(
            Calibrate(inputs=inputs, probability=probability, answer=made, gold=gold, into=into or probability, method=method, name=name)
        )  # fmt: skip


def _answer_of(frame: Verbs, probability: str, label: str) -> str:
    """The column of answers that was made with a column of probabilities."""
    made = next((s for s in reversed(frame.step.walk()) if isinstance(s, PromptStep) and s.probability == probability), None)
    if made is None or made.into not in frame.step.schema:
        raise SettingError(f"{label}: which column has the answers that {probability!r} is the probability of? Say answer=.")
    return made.into
