"""Verbs that ask models."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self, TypeVar

import polars as pl

from dreamframe.errors import SchemaError, SettingError, did_you_mean, need_name
from dreamframe.frame.arguments import as_llm, need_column, need_order
from dreamframe.frame.base import Verbs
from dreamframe.frame.keeps import Keep, kept, need_plain_reading, need_reading
from dreamframe.frame.labelled import need_task_model, question_of
from dreamframe.frame.model import Model
from dreamframe.frame.plan_warnings import warn_of_copies, warn_of_prompt, warn_of_system, warn_of_unread
from dreamframe.identity.owned import own_expr
from dreamframe.models.base import LLM, SAMPLING_FIELDS
from dreamframe.models.edges import Rows, Values, as_edge
from dreamframe.models.habits import described
from dreamframe.models.request import Sampling
from dreamframe.models.task_models.base import TaskModel
from dreamframe.plan.hidden import hidden
from dreamframe.plan.model_columns import ModelColumn, model_column
from dreamframe.plan.step import OnError
from dreamframe.plan.steps.apply import is_async
from dreamframe.plan.steps.classify import Classify
from dreamframe.plan.steps.prompt import PromptStep
from dreamframe.plan.steps.until_right import PromptUntilRight
from dreamframe.prompts.answer_schema import AnswerSchema
from dreamframe.prompts.base import Prompt
from dreamframe.prompts.labels import LabelsOf, WhichLabel
from dreamframe.prompts.parsers import YesNo
from dreamframe.prompts.templates import placeholder
from dreamframe.prompts.verifier import Verifier

if TYPE_CHECKING:
    from dreamframe.plan.steps.cascade import Cascade
    from dreamframe.plan.steps.distil import Distil

OWN = ("schema", "system", "n", "seed", "parse", "on_error", "repairs", "keep", "probability", "reasoning", "until", "name", "into")
OF_OTHERS = {  # an argument of some verbs → these
    "cascade": "filter_by, classify and join_by",
    "distil": "filter_by and classify",
    "asked": "join_by",
    "block": "join_by",
    "compare": "top_k_by",
    "scale": "rank_by, top_k_by and score",
}
MEANT = dict.fromkeys(("logprobs", "top_logprobs", "confidence", "scores"), " Write probability='p' for a column of how likely the answer is.")
MEANT |= dict.fromkeys(("thoughts", "thinking", "reasoning_content", "rationale"), " Write reasoning='thoughts' for a column of what the model thought.")


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
    probability: str | None = None,
) -> dict[str, Any]:
    """The arguments of a prompt verb as fields of its step."""
    where = name or "prompt"
    for argument, value in sampling.items():
        if argument in OF_OTHERS:
            raise SettingError(f"{where}: {argument}= is an argument of {OF_OTHERS[argument]}.")
        if argument not in SAMPLING_FIELDS and (meant := MEANT.get(argument) or did_you_mean(argument, OWN)):
            raise SettingError(f"{where}: no setting {argument!r}.{meant}")
        if isinstance(value, pl.Expr):
            raise SettingError(
                f"{where}: {argument}= is an expression, and stands for a name of the template only in dr.prompt: "
                f"df.with_columns(dr.prompt(llm, '... {{{argument}}} ...', {argument}=..., into=...))."
            )
    for argument, value in (("n", n), ("repairs", repairs)):
        if isinstance(value, bool) or not isinstance(value, int):
            raise SettingError(f"{where}: {argument}= is a whole number, not a {type(value).__name__}. A template's name must be another than {argument!r}.")
    if parse is not None and (not callable(parse) or is_async(parse)):
        kind = "an async function" if callable(parse) else described(parse)
        raise SettingError(f"{where}: parse= is {kind}; give a function of the answer's text, e.g. parse=lambda text: text.strip().")
    if probability is not None:
        need_plain_reading(probability, {**sampling, "seed": seed}, step=where)
    likely = {} if probability is None else {"probability": probability}  # the fields of an expression are part of its column's name
    return {
        **likely,
        "schema_": answer_schema(schema, step=where),
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
    if "probability" in sampling:
        raise SettingError(f"{name or 'prompt'}: probability= adds a column, and an expression is one: use df.prompt(…, probability='p').")
    if "keep" in sampling:
        raise SettingError(f"{name or 'prompt'}: keep= adds columns, and an expression is one: use df.prompt(…, keep={sampling['keep']!r}).")
    if "until" in sampling:
        raise SettingError(f"{name or 'prompt'}: until= reads columns beside the answer, and an expression has none: use df.prompt(…, n={n}, until=…).")
    if "reasoning" in sampling:
        raise SettingError(f"{name or 'prompt'}: reasoning= adds a column, and an expression is one: use df.prompt(…, reasoning='thoughts').")
    model, value = as_llm(llm, verb=name or "prompt"), Prompt.of(prompt, step=name or "prompt")
    if plain := next((k for k in sampling if k in value.columns), None):
        what = f"pl.col({sampling[plain]!r})" if isinstance(sampling[plain], str) else "pl.col('text')"
        raise SettingError(f"{name or 'prompt'}: {plain}= stands for {{{plain}}} of the prompt, and is no expression. Write {plain}={what}, or pl.lit(...).")
    fields = prompt_fields(
        schema=schema, system=system, n=n, seed=seed, parse=parse, on_error=on_error, repairs=repairs, name=name, sampling=sampling
    )
    warn_of_prompt(value, step=name or "prompt", values=[k for k, _ in columns])
    warn_of_system(system, model, step=name or "prompt")
    return model_column(ModelColumn(model, value, tuple(fields.items()), columns, into))


def answer_schema(shape: Any, *, step: str, argument: str = "schema=") -> AnswerSchema | None:
    """What an answer must be: as `AnswerSchema.of`, or one of the labels in a column of a frame."""
    values = as_edge(shape)
    if type(values) is Rows:
        raise SchemaError(f"{step}: {argument} is a frame; the labels that an answer may be are one of its columns: {argument.rstrip('=')}=other['label'].")
    return LabelsOf.of_column(values, step=step) if isinstance(values, Values) else AnswerSchema.of(shape, step=step)


V = TypeVar("V", bound="AskVerbs")  # Self, as jedi understands it too


class AskVerbs(Verbs):
    """prompt, extract, classify, filter_by."""

    __slots__ = ()

    def prompt(
        self: V,
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
        keep: Keep = None,
        probability: str | None = None,
        reasoning: str | None = None,
        until: Verifier | None = None,
        name: str | None = None,
        **sampling: Any,
    ) -> V:
        """Add a column of answers: the prompt is filled with each row's columns (`{text}`) and sent to the model.

        `schema` is the type of the column, and the model is held to it: bool, int, float, a Literal, an Enum, a list of labels, {"city": str}, a pydantic
        model or a JSON schema. Where an answer does not fit, the model is shown the error and asked again, `repairs` times at most. `parse`, a function of
        the text, gives a value of `schema` itself; its code is part of what an answer is kept by, and it runs in a thread, for one answer at a time.
        `n` > 1 gives a list of so many samples; with `until`, one of `dr.verify` whose first column is `into`, a row's samples are asked for one after the
        other, and its list ends with the first that is right. `keep` ("prompt", "answer" or both in a list) adds the text that was sent as `<into>_prompt`,
        and the last one that came back as `<into>_answer`, also where it could not be read; chats are JSON, without the system prompt. Sampling arguments,
        each by default the model's own: max_tokens (of an answer), temperature, top_p, stop, logit_bias, presence_penalty, frequency_penalty, extra (a dict).

        `probability` names a column (Float64, 0 to 1) of how likely the model finds its answer, for a `schema` of bool or labels: the likeliest label is
        the answer. Those of all labels are kept with it, so that another threshold, or another name, asks nothing. They are the model's own at temperature
        1, as shares of what the labels have together. A model in this process (Transformers, LlamaCpp) reads each label's text, up to 100 of them. For one
        behind an API the labels stand as a menu of letters below the prompt; most APIs list 20 tokens, so that there may be 20 labels, and one that is not
        listed has 0; where less than 5 % is on the menu, the row fails. A model that has no probabilities raises SettingError when the plan is built, or
        stops the run at the first answer. `df.calibrate` turns them into how often such an answer is right.

        A null in a column that the prompt reads gives null, without a call. Equal requests are asked once at temperature 0; otherwise each is a sample of
        its own. An answer is never paid for twice. A refusal, a call of a tool or an empty answer is a failed row. `on_error` decides over failed rows:
        "raise" (when all other rows are done and kept), "null" or "drop"; see `df.failures()`.

        Thoughts are never part of an answer: `reasoning` names a column for them (a text, or a list of `n` of them; null where the model told none), as
        each provider gives them and as `<think>…</think>` in the text of local models. They were kept with the answer: naming the column later asks
        nothing again. After a repair they are those of the last turn. How much a model thinks is its own setting, e.g. `reasoning_effort`.

        Raises ColumnNotFoundError, TemplateError, DuplicateColumnError or SettingError when the plan is built; RowsFailedError when it runs.

        >>> df = dr.frame({"text": ["tea"]})
        >>> df.prompt(dr.testing.Echo(), "Sum up: {text}", into="sum").to_dicts()
        [{'text': 'tea', 'sum': 'Sum up: tea'}]
        >>> df.prompt(dr.testing.Scripted(["yes"]), "Is it a drink? {text}", into="drink", schema=bool).schema["drink"]
        Boolean
        """
        need_order("prompt", llm, prompt)
        fields = prompt_fields(
            schema=schema, system=system, n=n, seed=seed, parse=parse, on_error=on_error, repairs=repairs, name=name, sampling=sampling,
            probability=probability,
        )  # fmt: skip
        fields["keep"] = kept(keep, reasoning, into, step=name or "prompt")
        model, asked = as_llm(llm, verb=name or "prompt"), Prompt.of(prompt, step=name or "prompt")
        made = PromptStep.over(self.step, model, asked, into=into, **fields)
        if until is not None:
            made = PromptUntilRight.of(made, until)
        warn_of_prompt(asked, step=made.where, below=self.step)
        warn_of_system(system, model, step=made.where, below=self.step)
        warn_of_copies(made, n, step=made.where)
        return self._over(made)

    def extract(self: V, llm: LLM | Model | str, schema: Any, column: str, into: str = "extracted", *, prompt: str | None = None, **settings: Any) -> V:
        """Add a struct column with what the model finds in a text column, in the shape of a pydantic model or JSON schema.

        >>> llm = dr.testing.Scripted(['{"city": "Bern"}'])
        >>> shape = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
        >>> dr.frame({"text": ["I live in Bern."]}).extract(llm, shape, "text").to_dicts()
        [{'text': 'I live in Bern.', 'extracted': {'city': 'Bern'}}]
        """
        need_order("extract", llm, schema, column)
        need_column("extract", column)
        if prompt is not None:
            warn_of_unread(column, prompt, step=settings.get("name") or "extract")
        ask = prompt if prompt is not None else f"Extract the fields that the schema names from the text.\n\nText: {placeholder(column)}"
        return self.prompt(llm, ask, into=into, schema=schema, **settings)

    def classify(
        self: V,
        llm: LLM | TaskModel | Model | str,
        labels: Any,
        column: str,
        into: str = "label",
        *,
        prompt: str | Prompt | None = None,
        cascade: Cascade | None = None,
        distil: Distil | None = None,
        **settings: Any,
    ) -> V:
        """Add a column with one of the labels for each text.

        `labels` is a list of texts, a Literal or an Enum. A language model is held to them (further settings as in `df.prompt`; `prompt` replaces the
        question). A task model such as `dr.HFClassifier` also tells how sure it is, in a second column `<into>_score`, or as `probability` names it;
        with `labels=None` it chooses among its own; with `scores=True` a third column `<into>_scores` has the scores of all labels, the highest first,
        as structs of label and score. An answer that is not one of the labels is a failed row. `cascade=dr.Cascade(small, accuracy=0.9)` lets a cheap
        model, or a task model, decide the rows where that is certified against a language model; `distil=dr.Distil(embedder)`, a head that learns from it.

        >>> llm = dr.testing.Scripted(["good"])
        >>> dr.frame({"review": ["Lovely tea."]}).classify(llm, ["good", "bad"], "review", into="mood").to_dicts()
        [{'review': 'Lovely tea.', 'mood': 'good'}]
        """
        where = settings.get("name") or "classify"
        need_order("classify", llm, labels, column)
        need_column("classify", column)
        schema = answer_schema(labels, step=where, argument="labels=") if labels is not None else None
        known = schema.schema.get("enum") if schema is not None else None
        if isinstance(llm, TaskModel):
            of_models = {"prompt": prompt, "cascade": cascade, "distil": distil}
            need_task_model(llm, schema, of_models, settings, step=where)
            fields = {"labels": tuple(known) if known is not None else None, "column": column, "into": into, **settings}
            return self._over(Classify.over(self.step, llm, **fields))
        if "scores" in settings:
            raise SettingError(f"{where}: scores= is told by task models such as dr.HFClassifier; {as_llm(llm).label} is a language model.")
        if isinstance(schema, LabelsOf):
            given = {"cascade": cascade, "distil": distil, "probability": settings.get("probability")}
            if needs := next((argument for argument, value in given.items() if value is not None), None):
                raise SettingError(f"{where}: {needs}= needs the labels when the plan is built; give them as they are: other.collect()[{schema.column!r}].")
            return self.prompt(llm, WhichLabel(column) if prompt is None else prompt, into=into, schema=labels, **{"name": "classify", **settings})
        if not known:
            raise SchemaError(f"{where}: labels={labels!r} are not labels; give a list such as ['good', 'bad'], a Literal or an Enum.")
        if prompt is not None:
            warn_of_unread(column, prompt, step=where)
        ask = prompt if prompt is not None else question_of(llm, known, column, is_weighed=settings.get("probability") is not None)
        made = self.prompt(llm, ask, into=into, schema=labels, **{"name": "classify", **settings})
        if distil is not None:
            return made._distilled(distil, cascade)
        if cascade is None:
            return made
        proxy = getattr(cascade, "proxy", None)
        is_asked = prompt is None and isinstance(proxy, LLM | Model | str)
        return made._in_cascade(cascade, labels, column=column, asked=question_of(proxy, known, column, is_weighed=True) if is_asked else ask)

    def filter_by(
        self: V,
        llm: LLM | Model | str,
        prompt: str | Prompt,
        *,
        parse: Callable[[str], bool] | None = None,
        free_text: bool = False,
        cascade: Cascade | None = None,
        distil: Distil | None = None,
        on_error: OnError = "raise",
        name: str | None = None,
        **settings: Any,
    ) -> V:
        r"""Keep the rows that the model answers with yes.

        The model is held to a yes or no (`schema=bool`), as far as it can be. Free text, of a model that cannot, is yes if it holds the word yes
        (`\byes\b`, ignoring case) and not the word no, and no the other way round; any other answer is a failed row, never a yes. `free_text=True`
        sends the prompt without a schema, as DataDreamer does, and reads the text so; `parse` reads free text otherwise. With `keep` (see `df.prompt`)
        the columns are `filter_by_prompt` and `filter_by_answer`, or begin with `name`.

        `cascade=dr.Cascade(small, recall=0.9)` lets a cheap model decide the rows where that is certified against this one: see `dr.Cascade`;
        `distil=dr.Distil(embedder)`, a head that learns from its answers: see `dr.Distil`. With `keep`, rows that they decide have nulls: this model was
        not asked.

        >>> llm = dr.testing.Scripted(["Yes.", "No"])
        >>> df = dr.frame({"article": ["Cup final", "Elections"]})
        >>> df.filter_by(llm, "Is it about sports? {article}").to_dicts()
        [{'article': 'Cup final'}]
        """
        need_order("filter_by", llm, prompt)
        verdict, label = hidden("keep", n=len(self.step.schema)), name or "filter_by"
        fields = {"schema": bool, "on_error": on_error, "name": label, **settings}
        asked = self._held(llm, prompt, into=verdict, called=label, to=bool, reader=YesNo(), parse=parse, free_text=free_text, **fields)
        if distil is not None:
            asked = asked._distilled(distil, cascade)
        elif cascade is not None:
            asked = asked._in_cascade(cascade, bool, asked=prompt)
        return asked._relational("filter", [pl.col(verdict)], named=label)._dropping([verdict], named=label)

    def _distilled(self, distil: Distil, cascade: Cascade | None) -> Self:
        """The frame whose last step asks a strong model, with a head that learns from it in its place."""
        assert isinstance(self.step, PromptStep)
        if cascade is not None:
            raise SettingError(f"{self.step.where}: cascade= and distil= each name who decides in the place of {self.step.llm.label}; give one of them.")
        from dreamframe.frame.distilled import distilled  # with what asks a head, which importing this package does not need

        made, own = distilled(self.step, distil)
        return self._over(made)._dropping(own, named=made.label)

    def _in_cascade(self, cascade: Cascade, to: Any, *, asked: str | Prompt, column: str | None = None) -> Self:
        """The frame whose last step asks a strong model, with a cascade in its place. `to` is what is answered, `asked` what the proxy is asked."""
        from dreamframe.frame.cascades import in_cascade  # most plans have none

        assert isinstance(self.step, PromptStep)
        made, own = in_cascade(self.step, cascade, to, asked=Prompt.of(asked, step=self.step.where), column=column)
        return self._over(made)._dropping(own, named=made.label)

    def _held(
        self,
        llm: LLM | Model | str,
        prompt: str | Prompt,
        *,
        into: str,
        called: str | None = None,
        to: Any,
        reader: Callable[[str], Any],
        parse: Callable[[str], Any] | None,
        free_text: bool,
        keep: Keep = None,
        probability: str | None = None,
        reasoning: str | None = None,
        **fields: Any,
    ) -> Self:
        """Add a column of answers to a question that says in words how to answer: the model is held to the shape `to`, and `reader` reads what it says
        in words all the same. With `free_text` or `parse` it is not held. Columns of `keep` are named after `called`."""
        where = fields["name"]
        need_reading(free_text, parse, step=where)
        is_held = not free_text and parse is None
        if probability is not None:
            need_plain_reading(probability, {k: v for k, v in fields.items() if k in SAMPLING_FIELDS}, step=where)
        asked = self.prompt(llm, prompt, into=into, **{"repairs": 1 if is_held else 0, **fields, "parse": parse or reader})
        assert isinstance(asked.step, PromptStep)
        held = AnswerSchema.of(to, step=where) if is_held else None
        return self._over(replace(asked.step, held=held, keep=kept(keep, reasoning, called or into, step=where), probability=probability))
