"""The verb that tries a plan with other models and other prompts on some of its rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import polars as pl

from dreamframe.frame.base import Verbs
from dreamframe.frame.model import Model
from dreamframe.models.base import LLM
from dreamframe.prompts.base import Prompt

if TYPE_CHECKING:
    from dreamframe.frame.scoring import Metric


class CompareVerbs(Verbs):
    """compare_models."""

    __slots__ = ()

    def compare_models(
        self,
        models: Iterable[LLM | Model | str] | Mapping[str, LLM | Model | str] | None = None,
        *,
        prompts: Mapping[str, str | Prompt] | None = None,
        on: int | None = 50,
        by: LLM | Model | str | None = None,
        metric: Metric | None = None,
        only: str | None = None,
        seed: int = 0,
    ) -> pl.DataFrame:
        """Run this plan with each of several models in the place of its own, on some rows, and tell how good, how dear and how fast each was.

        `models` is a list of models or of their names, or a dict that gives them names for the table. With `prompts`, a dict of names and prompts, each
        model is asked with each of them; without `models`, the plan's own model is. Where several steps of the plan ask a model, `only` names the column
        of the one that is meant.

        `on` is how many rows: of those that the lowest model of the plan is asked about, drawn by their content and `seed`, so that the same rows are
        drawn wherever they stand; None is all of them. Every answer is kept as any other, so that the whole plan, when it runs with one of these models
        and prompts, asks nothing about these rows again; a second call asks nothing at all.

        The frame has a row for each variant, in their order: `model` and `prompt` (if there are prompts); `quality`, and between `low` and `high` where
        that of all such rows lies, with a confidence of 95 %; `rows` that were scored; `failed` rows; `calls`, `tokens_in`, `tokens_out` and `cost` of this
        step (US dollars; null where a price is not known); and `seconds`, the median of its calls. It does not matter when the answers came: tokens, cost
        and seconds are those of the kept answers.

        `quality` is `metric` of the rows that the plan gives: one of `dr.metrics`; or the mean of an expression, such as
        `pl.col("mood") == pl.col("gold")`, or of a function of a row, a dict. There, what is null counts as 0, and so does a row that failed. Without a
        metric it is the share of rows whose answer equals that of the model `by`, which is asked too and stands first, or else that of the first row of the
        table: for labels and numbers, not for long texts.

        Raises SettingError for what does not fit together, before anything is asked; RunError where the metric raises. Rows that fail stop nothing.

        >>> yes, no = (dr.testing.Scripted(lambda asked, said=said: said, model=said) for said in ("yes", "no"))
        >>> df = dr.frame({"t": ["tea", "jam"], "gold": ["yes", "no"]}).prompt(yes, "Is {t} a drink?", into="drink")
        >>> df.compare_models([yes, no], metric=dr.metrics.accuracy("drink", "gold")).select("model", "quality", "rows", "calls").rows()
        [('yes', 0.5, 2, 2), ('no', 0.5, 2, 2)]
        >>> df.compare_models(prompts={"short": "{t}?", "long": "Is {t} a drink?"}).select("model", "prompt", "quality").rows()
        [('yes', 'short', 1.0), ('yes', 'long', 1.0)]
        """
        from dreamframe.frame.comparing_models import compared  # building a plan does not need it

        return compared(self.step, models, prompts=prompts, on=on, by=by, metric=metric, only=only, seed=seed)
