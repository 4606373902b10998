"""Groups of rows, and the ways to make one row of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import polars as pl

from dreamframe.errors import ColumnNotFoundError, TemplateError, listed
from dreamframe.frame.arguments import as_llm, need_order
from dreamframe.frame.base import Verbs
from dreamframe.frame.habits import GroupHabits
from dreamframe.frame.model import Model
from dreamframe.frame.plan_warnings import warn_of_list, warn_of_system
from dreamframe.frame.tracebacks import short_in
from dreamframe.models.base import LLM
from dreamframe.models.request import Sampling
from dreamframe.plan.model_columns import gathered, into_exprs, over_all_rows
from dreamframe.plan.step import OnError
from dreamframe.plan.steps.reduce import Reduce
from dreamframe.prompts.base import Prompt

F = TypeVar("F", bound=Verbs)


@short_in
class GroupBy(GroupHabits, Generic[F]):
    """Groups that wait for `.agg(...)` or `.reduce_by(...)`."""

    def __init__(self, frame: F, by: Sequence[pl.Expr]) -> None:
        self._frame, self._by = frame, list(by)

    def __repr__(self) -> str:
        keys = ", ".join(map(str, self._by))
        return f"group_by [{keys}] of\n{self._frame!r}".replace("(lazy: .collect()", "(lazy: .agg(...) makes one row of each group; .collect()")

    def agg(self, *exprs: Any, **named: Any) -> F:
        """Make one row of each group. A model call inside is asked for every row of the frame, before it is aggregated; for one answer a group use
        `reduce_by`.

        >>> llm = dr.testing.Echo()
        >>> df = dr.frame({"k": ["a", "a"], "t": ["x", "yy"]})
        >>> df.group_by("k").agg(dr.prompt(llm, "{t}", into="longest").str.len_chars().max()).to_dicts()
        [{'k': 'a', 'longest': 2}]
        """
        return self._aggregated(into_exprs(exprs, named, verb="agg"))

    def _aggregated(self, values: Sequence[pl.Expr], *, verb: str = "group_by") -> F:
        frame, given, _ = self._frame._hoisted(verb, [*self._by, *values])
        warn_of_list(gathered(values), over_all_rows(values), step=verb)
        return frame._relational("aggregate", given[: len(self._by)], given[len(self._by) :], named=verb)

    def len(self, name: str = "len") -> F:
        """Count the rows of each group.

        >>> dr.frame({"k": ["a", "b", "a"]}).group_by("k").len().to_dicts()
        [{'k': 'a', 'len': 2}, {'k': 'b', 'len': 1}]
        """
        return self.agg(pl.len().alias(name))

    def reduce_by(
        self,
        llm: LLM | Model | str,
        prompt: str | Prompt,
        *,
        into: str = "answer",
        context: int = 8192,
        count: Callable[[str], int] | None = None,
        sep: str = "\n\n",
        system: str | None = None,
        seed: int | None = None,
        on_error: OnError = "raise",
        name: str | None = None,
        **sampling: Any,
    ) -> F:
        """Make one answer of all texts of a group, by a model that reads only `context` tokens at once, its answer included.

        The prompt reads one column of the rows, and columns that are grouped by. A group's texts are put into it, `sep` between them, as many as fit;
        if that takes more than one request, the answers are put into the same prompt until one is left. Texts that are too long by themselves are
        cut into pieces; no request is ever longer than the context. Tokens are estimated at three characters each, or counted by `count`. Answers are
        limited to a quarter of the context unless `max_tokens` says otherwise. Nulls and blanks are left out; a group without texts gets null. Every partial
        answer is kept: a changed row asks again only for the requests it is part of.

        Answers that do not get shorter fail the group, like any failed request: `on_error` decides. Sampling arguments as in `df.prompt`; equal requests
        have one answer.

        >>> llm = dr.testing.Scripted(lambda asked: str(asked.count("e")))
        >>> df = dr.frame({"k": ["a", "b", "a"], "text": ["tea", "beer", "see"]})
        >>> df.group_by("k").reduce_by(llm, "How many e? {text}", into="n").to_dicts()
        [{'k': 'a', 'n': '4'}, {'k': 'b', 'n': '3'}]
        """
        label = name or "reduce_by"
        need_order("reduce_by", llm, prompt)
        llm = as_llm(llm, verb=label)
        asked = Prompt.of(prompt, step=label)
        keys = [e.meta.output_name() for e in self._by]
        texts = [c for c in asked.columns if c not in keys]
        for column in texts:
            if column not in self._frame.step.schema:
                raise ColumnNotFoundError(column, columns=[*self._frame.step.schema, *keys], step=label)
        if len(texts) != 1:
            raise TemplateError(
                f"{label}: the prompt reads {listed(texts)} of the rows; it must read one column, whose texts are put together, "
                f"and may read what is grouped by ({listed(keys)})."
            )
        grouped = self._aggregated([pl.col(texts[0])], verb=label)
        model = as_llm(llm)
        warn_of_system(system, model, step=label, below=self._frame.step)
        made = Reduce(
            inputs=(grouped.step, *(e.step for e in model.edges())), llm=model, prompt=asked, column=texts[0], into=into, context=context,
            count=count, sep=sep, system=system, sampling=Sampling.of(step=label, **sampling, seed=seed), on_error=on_error, name=name,
        )  # fmt: skip
        return grouped._over(made)
