"""Examples of the step that holds conversations: as those of `tests.laws.cases`, which holds them to the laws."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import polars as pl

import dreamframe as dr
from dreamframe.models.request import Completion, Request, Sampling
from dreamframe.models.tools.turns import Call, with_calls
from dreamframe.plan.step import Step
from dreamframe.plan.steps.converse import Converse
from dreamframe.prompts.base import Prompt
from tests.laws.ordinal import Ordinal

Given = tuple[Callable[[Step], Step], Mapping[str, Any], bool, Callable[[pl.DataFrame], int]]  # of a Case


@dataclass(frozen=True)
class Calling(Ordinal):
    """Calls a tool with the length of what it hears, and then answers with the result and the number of the sample."""

    model: str = "calling"
    provider: ClassVar[str] = "calling"

    def reply(self, request: Request) -> Completion:
        last = request.messages()[-1]
        if request.question.tools and last["role"] == "user":
            name = json.loads(request.question.tools)[-1]["function"]["name"]
            return with_calls(Completion(None, finish="tool_calls", n_in=1, n_out=1), [Call("c1", name, json.dumps({"n": len(last["content"]) % 3}))])
        return Completion(f"{last['content']} #{request.sample}", n_in=1, n_out=1, model=self.model)


def double(n: int) -> int:
    return 2 * n


def triple(n: int) -> int:
    return 3 * n


def ends(messages: list[dict[str, Any]]) -> bool:
    return len(messages) > 3


def not_null(rows: pl.DataFrame) -> int:
    return rows["t"].len() - rows["t"].null_count()


LLM, USER = Calling(), Calling(model="user")
CHANGES: dict[str, Any] = {
    "name": "other", "on_error": "null", "into": "other", "llm": Calling(max_tokens=6), "prompt": Prompt.of("Say {k}", step="x"), "user": Calling(model="b"),
    "user_prompt": Prompt.of("You are {k}.", step="x"), "system": "You are brief.", "sampling": Sampling.of(temperature=0.5), "tools": (dr.Tool(triple),),
    "max_turns": 5, "until": ends, "until_tool": "double", "timeout_s": 60.0, "reasoning": "reasoning_content",
}  # fmt: skip


def cases() -> dict[str, Given]:
    """The step over an input, other values for its fields, and the calls of a first run: an impure tool is called for each row."""

    def talk(below: Step) -> Step:
        tools = (dr.Tool(double),)
        asked, told = Prompt.of("Say {t}", step="x"), Prompt.of("You are {v}.", step="x")
        return Converse.over(below, llm=LLM, prompt=asked, user=USER, user_prompt=told, tools=tools, max_turns=4, timeout_s=30.0)

    def plain(below: Step) -> Step:
        return Converse.over(below, llm=LLM, prompt=Prompt.of("Say {t}", step="x"))

    return {"Converse": (talk, CHANGES, True, lambda rows: 7 * not_null(rows)), "Converse alone": (plain, {"max_turns": 2}, True, not_null)}
