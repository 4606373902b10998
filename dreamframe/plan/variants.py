"""Plans that differ from a plan in the model or the prompt of some of its steps, over all of its rows or over some."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import polars as pl

from dreamframe.errors import SettingError, did_you_mean, listed
from dreamframe.models.base import LLM
from dreamframe.plan.model_columns import column_of
from dreamframe.plan.step import RowStep, Step
from dreamframe.plan.steps.cascade import Cascaded
from dreamframe.plan.steps.checked import AskOpen
from dreamframe.plan.steps.prompt import PromptStep
from dreamframe.plan.steps.source import Table
from dreamframe.prompts.base import Prompt

SEVERAL = (Cascaded, AskOpen)  # steps whose answers stand beside those of others to the same question


def name_of(step: PromptStep) -> str:
    """What users call a step that asks: the column that it writes; of one whose column is its verb's own, the name of the step."""
    return step.name or step.label if step.into.startswith("__") else column_of(step)


def asking(plan: Step, only: str | Sequence[str] | None, *, verb: str) -> list[PromptStep]:
    """The steps that `only` names by the columns that they write, lowest first; without it, all that ask a language model about each row."""
    there = {name_of(node): node for node in plan.walk() if isinstance(node, PromptStep)}
    if not there:
        raise SettingError(f"{verb}: no step of this plan asks a language model about each row; begin with df.prompt(llm, '… {{column}} …', into='answer').")
    names = list(there) if only is None else [only] if isinstance(only, str) else list(only)
    for name in names:
        if name not in there:
            raise SettingError(f"{verb}: only={only!r}: no model writes a column {name!r}.{did_you_mean(str(name), list(there))} Models write {listed(there)}.")
    for name in names:
        if isinstance(there[name], SEVERAL):
            raise SettingError(
                f"{verb}: {name!r} asks one question in several steps, which are certified or checked against one model and prompt. "
                f"Leave out its cascade=, distil=, asked= or block= to try others; two plans that have them are compared by dr.compare."
            )
    return [node for name, node in there.items() if name in names]


@dataclass(frozen=True)
class Part:
    """The part of a plan that rows stream through around some steps which ask."""

    plan: Step
    steps: tuple[PromptStep, ...]  # lowest first

    @cached_property
    def below(self) -> Step:
        """What gives the rows that the lowest model of the stream is asked about."""
        node: Step = self.steps[0]
        lowest: Step = node
        while node.is_streamed and node.rows != "other":
            lowest = node if node.models() else lowest
            node = node.inputs[0]
        return lowest.inputs[0]

    @cached_property
    def top(self) -> Step:
        """The last step over these which leaves every row in its place."""
        readers: dict[int, list[Step]] = {}
        for node in self.plan.walk():
            for i in node.inputs:
                readers.setdefault(id(i), []).append(node)
        top: Step = self.steps[-1]
        while len(over := readers.get(id(top), [])) == 1 and over[0].inputs[0] is top and _keeps_rows(over[0]):
            top = over[0]
        return top

    @cached_property
    def chain(self) -> tuple[Step, ...]:
        """The steps from the rows below to the top, and what stands beside them."""
        below = {id(node) for node in self.below.walk()}
        return tuple(node for node in self.top.walk() if id(node) not in below)

    @cached_property
    def reads(self) -> tuple[str, ...]:
        """The columns of the rows below that models are asked about, as far as they are there; all columns where none is."""
        read = {c for node in self.chain if isinstance(node, PromptStep) for c in node.prompt.columns}
        return tuple(c for c in self.below.schema if c in read) or tuple(self.below.schema)

    @cached_property
    def needs(self) -> tuple[str, ...]:
        """The columns of the rows below that some step up to the top may look at."""
        read = [node.reads() for node in self.chain if node.inputs]
        if any(columns is None for columns in read):
            return tuple(self.below.schema)
        return tuple(c for c in self.below.schema if any(c in (columns or ()) for columns in read))

    def over(self, rows: pl.DataFrame, *, change: Callable[[PromptStep], PromptStep] = lambda step: step) -> tuple[Step, tuple[Step, ...]]:
        """The plan over other rows in the place of those below, with its steps changed; and these steps in it. A row that fails there stays, with nulls."""
        made: dict[int, Step] = {}
        source, lowest = Table(data=rows), {id(node) for node in self.below.walk()}

        def put(node: Step) -> Step:
            old = next(walk)
            if old is self.below:
                return source
            new = change(node) if any(old is s for s in self.steps) and isinstance(node, PromptStep) else node
            if isinstance(new, RowStep) and new.on_error != "null" and id(old) not in lowest:
                new = new.but(on_error="null")
            made[id(old)] = new
            return new

        walk = iter(self.plan.walk())
        plan = self.plan.rebuilt(put)
        return plan, tuple(made[id(s)] for s in self.steps)


def changed(plan: Step, steps: Sequence[PromptStep], change: Callable[[PromptStep], PromptStep]) -> Step:
    """The plan with some of its steps changed."""
    walk = iter(plan.walk())

    def put(node: Step) -> Step:
        old = next(walk)
        return change(node) if any(old is s for s in steps) and isinstance(node, PromptStep) else node

    return plan.rebuilt(put)


def _keeps_rows(step: Step) -> bool:
    return step.rows == "same" or (isinstance(step, RowStep) and step.on_error == "drop")


def asked_of(step: PromptStep, llm: LLM | None = None, prompt: Prompt | None = None, **more: Any) -> PromptStep:
    """The step, asking another model or with another prompt."""
    llm, prompt = llm or step.llm, prompt or step.prompt
    labels = () if step.schema_ is None else step.schema_.inputs
    edges = [e.step for e in (*prompt.inputs, *llm.edges(), *(e for model in prompt.models for e in model.edges()), *labels)]
    return step.but(inputs=(step.inputs[0], *edges), llm=llm, prompt=prompt, **more)


TEXTS: Mapping[str, str] = {"Template": "text", "Jinja": "text", "Instruct": "instruction", "FewShot": "instruction", "Rag": "instruction"}


def text_of(prompt: Prompt) -> str | None:
    """The text of a prompt that says what to do; None for one that has no such text, or several."""
    text = getattr(prompt, TEXTS.get(type(prompt).__name__, ""), None)
    return text if isinstance(text, str) else None


def with_text(prompt: Prompt, text: str) -> Prompt:
    """The prompt with another text, reading the same columns: see `text_of`."""
    made: Prompt = replace(prompt, **{TEXTS[type(prompt).__name__]: text})  # type: ignore[type-var]
    return made
