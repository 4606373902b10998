"""Verbs that ask models."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import polars as pl

from dreamframe.errors import SchemaError, SettingError
from dreamframe.frame.arguments import as_llm, need_column, need_order
from dreamframe.frame.base import Verbs
from dreamframe.frame.model import Model
from dreamframe.identity.owned import own_expr
from dreamframe.models.base import LLM
from dreamframe.models.habits import described
from dreamframe.models.request import Sampling
from dreamframe.models.task_models.base import TaskModel
from dreamframe.plan.hidden import hidden
from dreamframe.plan.model_columns import ModelColumn, model_column
from dreamframe.plan.step import OnError, need_name
from dreamframe.plan.steps.apply import is_async
from dreamframe.plan.steps.classify import Classify
from dreamframe.plan.steps.prompt import PromptStep
from dreamframe.prompts.answer_schema import AnswerSchema
from dreamframe.prompts.base import Prompt
from dreamframe.prompts.parsers import YesNo
from dreamframe.prompts.templates import literal


def prompt_fields(
    *,
    schema: Any,
    system: str | None,
    n: int,
    seed: int | None,
    parse: Callable[[str], Any] | None,
    on_error: str,
    repairs: int,
    name: str | None,
    sampling: dict[str, Any],
) -> dict[str, Any]:
    """The arguments of a prompt verb as fields of its step."""
    where = name or "prompt"
    for argument, value in (("n", n), ("repairs", repairs)):
        if isinstance(value, bool) or not isinstance(value, int):
            raise SettingError(f"{where}: {argument}= is a whole number, not a {type(value).__name__}. A template's name must be another than {argument!r}.")
    if parse is not None and (not callable(parse) or is_async(parse)):
        kind = "an async function" if callable(parse) else described(parse)
        raise SettingError(f"{where}: parse= is {kind}; give a function of the answer's text, e.g. parse=lambda text: text.strip().")
    return {
        "schema_": AnswerSchema.of(schema, step=where),
        "system": system,
        "n": n,
        "sampling": Sampling.of(step=where, **sampling, seed=seed),
        "parse": parse,
        "on_error": on_error,
        "repairs": repairs,
        "name": name,
    }


def prompt(
    llm: LLM | Model | str,
    prompt: str | Prompt,
    into: str = "answer",
    *,
    schema: Any = None,
    system: str | None = None,
    n: int = 1,
    seed: int | None = None,
    parse: Callable[[str], Any] | None = None,
    on_error: OnError = "raise",
    repairs: int = 1,
    name: str | None = None,
    **sampling_and_columns: Any,
) -> pl.Expr:
    """Ask a model about every row, as a polars expression for any verb of a dreamframe.

    Keyword arguments that are polars expressions stand for names of the template; all others are sampling arguments, as in `df.prompt`.

    >>> llm = dr.testing.Echo()
    >>> df = dr.frame({"text": ["A long story."]})
    >>> df.select(dr.prompt(llm, "Sum up {t}", t=pl.col("text").str.head(6), into="sum")).to_dicts()
    [{'sum': 'Sum up A long'}]
    """
    need_order("prompt", llm, prompt)
    need_name(into, step=name or "prompt")
    columns = tuple((k, own_expr(v)) for k, v in sampling_and_columns.items() if isinstance(v, pl.Expr))
    sampling = {k: v for k, v in sampling_and_columns.items() if not isinstance(v, pl.Expr)}
    fields = prompt_fields(
        schema=schema, system=system, n=n, seed=seed, parse=parse, on_error=on_error, repairs=repairs, name=name, sampling=sampling
    )
    value = Prompt.of(prompt, step=name or "prompt")
    return model_column(ModelColumn(as_llm(llm, verb=name or "prompt"), value, tuple(fields.items()), columns, into))


class AskVerbs(Verbs):
    """prompt, extract, classify, filter_by."""

    __slots__ = ()

    def prompt(
        self,
        llm: LLM | Model | str,
        prompt: str | Prompt,
        into: str = "answer",
        *,
        schema: Any = None,
        system: str | None = None,
        n: int = 1,
        seed: int | None = None,
        parse: Callable[[str], Any] | None = None,
        on_error: OnError = "raise",
        repairs: int = 1,
        name: str | None = None,
        **sampling: Any,
    ) -> Self:
        """Add a column of answers: the prompt is filled with each row's columns and sent to the model.

        `schema` (bool, int, float, a Literal, an Enum, a list of labels, a pydantic model, a JSON schema) types the column, and the model is held to
        it; up to `repairs` further turns show the model its error. `parse` turns the text into a value of `schema` itself; it is
        part of the plan's identity as a function of `map` is. `n` > 1 gives a list of samples. Sampling arguments: max_tokens temperature top_p stop
        logit_bias presence_penalty frequency_penalty extra.

        A null in a column that the prompt reads gives null, without a call. Equal requests are asked once at temperature 0; otherwise the k-th
        occurrence is sample k. A failed row is decided by `on_error`: "raise" (after all other rows are done and kept), "null" or "drop";
        `df.failures()` lists them. An answer that was paid for is never asked again. A refusal, a tool call, nothing at all, or what ended nobody knows
        how is a failed row; thoughts (`<think>…</think>`) are not part of an answer. `parse` runs in a worker thread, once at a time.

        Raises ColumnNotFoundError, TemplateError, DuplicateColumnError or SettingError when the plan is built; RowsFailedError when it runs.

        >>> llm = dr.testing.Echo()
        >>> dr.frame({"text": ["tea"]}).prompt(llm, "Sum up: {text}", into="sum").to_dicts()
        [{'text': 'tea', 'sum': 'Sum up: tea'}]
        """
        need_order("prompt", llm, prompt)
        fields = prompt_fields(
            schema=schema, system=system, n=n, seed=seed, parse=parse, on_error=on_error, repairs=repairs, name=name, sampling=sampling
        )
        return self._over(PromptStep.over(self.step, as_llm(llm, verb=name or "prompt"), Prompt.of(prompt, step=name or "prompt"), into=into, **fields))

    def extract(self, llm: LLM | Model | str, schema: Any, column: str, into: str = "extracted", *, prompt: str | None = None, **settings: Any) -> Self:
        """Add a struct column with what the model finds in a text column, in the shape of a pydantic model or JSON schema.

        >>> llm = dr.testing.Scripted(['{"city": "Bern"}'])
        >>> shape = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
        >>> dr.frame({"text": ["I live in Bern."]}).extract(llm, shape, "text").to_dicts()
        [{'text': 'I live in Bern.', 'extracted': {'city': 'Bern'}}]
        """
        need_order("extract", llm, schema, column)
        need_column("extract", column)
        ask = prompt if prompt is not None else f"Extract the fields that the schema names from the text.\n\nText: {{{column}}}"
        return self.prompt(llm, ask, into=into, schema=schema, **settings)

    def classify(
        self, llm: LLM | TaskModel | Model | str, labels: Any, column: str, into: str = "label", *, prompt: str | Prompt | None = None, **settings: Any
    ) -> Self:
        """Add a column with one of the labels for each text.

        `labels` is a list of texts, a Literal or an Enum. A language model is held to them (further settings as in `df.prompt`; `prompt` replaces the
        question). A task model such as `dr.HFClassifier` also tells how sure it is, in a second column `<into>_score`; with `labels=None` it chooses
        among its own. An answer that is not one of the labels is a failed row.

        >>> llm = dr.testing.Scripted(["good"])
        >>> dr.frame({"review": ["Lovely tea."]}).classify(llm, ["good", "bad"], "review", into="mood").to_dicts()
        [{'review': 'Lovely tea.', 'mood': 'good'}]
        """
        where = settings.get("name") or "classify"
        need_order("classify", llm, labels, column)
        need_column("classify", column)
        schema = AnswerSchema.of(labels, step=where) if labels is not None else None
        known = schema.schema.get("enum") if schema is not None else None
        if isinstance(llm, TaskModel):
            if prompt is not None:
                raise SettingError(f"{where}: {llm.label} is not a language model: it reads the text, and takes no prompt=.")
            if schema is not None and not _are_texts(known):
                raise SchemaError(f"{where}: labels={labels!r} are not texts; give a list of labels such as ['good', 'bad'].")
            if unknown := [n for n in settings if n not in ("on_error", "name")]:
                raise SettingError.unknown(unknown[0], possible=("on_error", "name"), where=f"{where} by {llm.label}")
            fields = {"labels": tuple(known) if known is not None else None, "column": column, "into": into, **settings}
            return self._over(Classify.over(self.step, llm, **fields))
        if not known:
            raise SchemaError(f"{where}: labels={labels!r} are not labels; give a list such as ['good', 'bad'], a Literal or an Enum.")
        ask = f"Which label fits the text: {literal(', '.join(map(str, known)))}? Answer with the label alone.\n\nText: {{{column}}}"
        return self.prompt(llm, ask if prompt is None else prompt, into=into, schema=labels, **{"name": "classify", **settings})

    def filter_by(
        self,
        llm: LLM | Model | str,
        prompt: str | Prompt,
        *,
        parse: Callable[[str], bool] | None = None,
        on_error: OnError = "raise",
        name: str | None = None,
        **settings: Any,
    ) -> Self:
        r"""Keep the rows that the model answers with yes.

        Without `parse`, an answer is yes if it holds the word yes (`\byes\b`, ignoring case) and not the word no, and no the other way round; any
        other answer is a failed row, never a yes.

        >>> llm = dr.testing.Scripted(["Yes.", "No"])
        >>> df = dr.frame({"article": ["Cup final", "Elections"]})
        >>> df.filter_by(llm, "Is it about sports? {article}").to_dicts()
        [{'article': 'Cup final'}]
        """
        need_order("filter_by", llm, prompt)
        verdict, label = hidden("keep", n=len(self.step.schema)), name or "filter_by"
        fields = {"schema": bool, "parse": parse or YesNo(), "on_error": on_error, "name": label, "repairs": 0, **settings}
        asked = self.prompt(llm, prompt, into=verdict, **fields)
        return asked._relational("filter", [pl.col(verdict)], named=label)._dropping([verdict], named=label)


def _are_texts(labels: list[Any] | None) -> bool:
    return bool(labels) and all(isinstance(v, str) for v in labels or [])
