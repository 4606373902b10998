"""A conversation in each row: with an assistant that may call tools, and a simulated user where there is one."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self

import polars as pl

from dreamframe.errors import DreamframeError, RunError, SettingError
from dreamframe.models.base import LLM, ModelSettings
from dreamframe.models.request import Failure, Question, RowContext, Sampling
from dreamframe.models.tools.mcp import LIST, Mcp
from dreamframe.models.tools.tool import Tool
from dreamframe.plan.schemas import with_columns
from dreamframe.plan.step import RowStep, Step, runtime, step
from dreamframe.plan.steps.talk import FailedTurnError, NotAskedError, Offered, Rules, Talk
from dreamframe.prompts.base import Prompt
from dreamframe.prompts.templates import need_whole

FUNCTION = pl.Struct({"name": pl.String, "arguments": pl.String})
CALLS = pl.List(pl.Struct({"id": pl.String, "type": pl.String, "function": FUNCTION}))
SPOKEN = {"role": pl.String(), "content": pl.String()}
WITH_TOOLS = {**SPOKEN, "tool_calls": CALLS, "tool_call_id": pl.String(), "name": pl.String()}
PLAY = "You play the user of an assistant: write the user's next message, and nothing else."
PROMPT, TOLD, TOOLBOX, RULES = "prompt", "user_prompt", "tools", "rules"  # what the step keeps for all its batches


@step
class Converse(RowStep):
    """A column of messages. A null prompt, or a null in what the user is told, gives null, and no call is made."""

    llm: LLM
    prompt: Prompt | None = None  # the first message; None: the simulated user speaks first
    user: LLM | None = None
    user_prompt: Prompt | None = None  # what the simulated user is told of whom it plays
    system: str | None = None
    sampling: Sampling = Sampling()  # of the assistant
    tools: tuple[Tool | Mcp, ...] = ()
    max_turns: int = 8
    until: str | Callable[[list[dict[str, Any]]], Any] | None = None
    until_tool: str | None = None
    into: str = "messages"
    reasoning: str | None = None  # what the assistant's thoughts are called in its messages
    timeout_s: float | None = runtime()  # seconds a row

    is_expensive: ClassVar[bool] = True

    @classmethod
    def over(cls, below: Step, **fields: Any) -> Self:
        """The step over `below`, its edges being the tables that the prompts read and the models that are trained first."""
        asked = [m for m in (fields["llm"], fields.get("user")) if m is not None]
        prompts = [p for p in (fields.get("prompt"), fields.get("user_prompt")) if p is not None]
        edges = [*(e for p in prompts for e in p.inputs), *(e for m in (*asked, *(m for p in prompts for m in p.models)) for e in m.edges())]
        return cls(inputs=(below, *(e.step for e in edges)), **fields)

    @property
    def label(self) -> str:
        return self.name or self.into

    @property
    def where(self) -> str:
        return self.name or "converse"

    def check(self) -> None:
        where = self.where
        if self.prompt is None and self.user is None:
            raise SettingError(f"{where}: nobody speaks first. Give a prompt, as df.converse(llm, '{{question}}'), or a simulated user: user=llm.")
        if self.max_turns < 1:
            raise SettingError(f"{where}: max_turns={self.max_turns}; the assistant has one turn or more.")
        for prompt in self._prompts:
            prompt.check(self.inputs[0].schema, step=where)
        if self.user_prompt is not None and self.user_prompt.form != "text":
            raise SettingError(f"{where}: user_prompt= is one text about the user that is played: a template such as 'You are {{persona}}.'")
        for what, text in {"name=": self.name, "system=": self.system, "until=": self.until}.items():
            need_whole(text if isinstance(text, str) else None, what, step=where)
        self._check_tools(where)
        self.llm.check_asked(self._sampling, step=where)
        if self.user is not None:
            self.user.check_asked(self.user.sampling, step=where)
        self.adds(self.into)

    def _check_tools(self, where: str) -> None:
        if self.tools and (why := self.llm.no_tools()) is not None:
            raise SettingError(f"{where}: tools= cannot be given: {self.llm.label} {why}.")
        names = [tool.label for tool in self.tools if isinstance(tool, Tool)]
        if twice := [n for n in names if names.count(n) > 1]:
            raise SettingError(f"{where}: two tools are called {twice[0]!r}; give one of them another name: dr.Tool(function, name='…').")
        is_known = self.until_tool is None or self.until_tool in names or any(isinstance(t, Mcp) for t in self.tools)
        if not is_known:
            raise SettingError(f"{where}: until= is the tool {self.until_tool!r}, which is not among tools=.")

    @property
    def _prompts(self) -> tuple[Prompt, ...]:
        return tuple(p for p in (self.prompt, self.user_prompt) if p is not None)

    @property
    def _sampling(self) -> Sampling:
        return self.sampling.over(self.llm.sampling)

    def key_fields(self) -> Mapping[str, object]:
        own = dict(super().key_fields())
        if self.sampling == Sampling():  # settings given to the model or to the verb are the same question
            own.pop("sampling")
        if self.reasoning is None:  # steps that were kept before this field are found
            own.pop("reasoning")
        return own

    def reads(self) -> frozenset[str]:
        return frozenset(c for p in self._prompts for c in p.columns)

    def passes(self) -> Mapping[str, str]:
        return {c: c for c in self.inputs[0].schema}

    def writes(self) -> tuple[str, ...]:
        return (self.into,)

    def models(self) -> tuple[ModelSettings, ...]:
        users = () if self.user is None else (self.user,)
        return (self.llm, *users, *(m for p in self._prompts for m in p.models))

    def asks(self) -> tuple[ModelSettings, ...]:
        return (*self.models(), *self.tools)

    def missing(self) -> tuple[DreamframeError, ...]:
        return tuple(error for tool in self.tools if isinstance(tool, Mcp) for error in tool.missing())

    def citations(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*self.cites, *(c for p in self._prompts for c in p.cites))))

    @property
    def reads_files(self) -> bool:
        """Tools are not looked into: what they give is kept as it was told to the model, whatever they read."""
        return any(p.reads_files(self.inputs[0].schema) for p in self._prompts) or super().reads_files

    def functions(self) -> object:
        return super().functions(), None if isinstance(self.until, str) else self.until

    @property
    def needs_order(self) -> bool:
        """Also where calls of tools are numbered: two equal rows call for themselves."""
        is_greedy = self._sampling.is_greedy and (self.user is None or self.user.sampling.is_greedy)
        return not is_greedy or any(tool.pure is not True for tool in self.tools)

    @property
    def width(self) -> int:
        return int(getattr(self.llm, "concurrency", None) or 16)

    def output_schema(self) -> pl.Schema:
        return with_columns(self.inputs[0].schema, {self.into: pl.List(pl.Struct(self._of_message))})

    @property
    def _of_message(self) -> Mapping[str, pl.DataType]:
        """What each message says."""
        thoughts = {} if self.reasoning is None else {self.reasoning: pl.String()}
        return {**SPOKEN, **thoughts, **(WITH_TOOLS if self.tools else {})}

    def describe(self) -> str:
        who = f" and {self.user.label} as the user" if self.user is not None else ""
        opens = f" {self.prompt.summary}" if self.prompt is not None else ""
        tools = f", tools {', '.join(tool.label for tool in self.tools)}" if self.tools else ""
        ends = repr(self.until) if isinstance(self.until, str) else getattr(self.until, "__name__", "a condition")
        until = f", until {self.until_tool if self.until_tool is not None else ends}" if self.until is not None or self.until_tool is not None else ""
        return f"CONVERSE {self.into} ← {self.llm.label}{opens}{who}{tools}, at most {self.max_turns} turns{until}"

    # A run

    async def prepare(self, tables: tuple[pl.DataFrame, ...], ctx: RowContext) -> None:
        at = 0
        for name, prompt in ((PROMPT, self.prompt), (TOLD, self.user_prompt)):
            if prompt is not None:
                n = len(prompt.inputs)
                bound = prompt.bound(tables[at : at + n])
                at += n
                ctx.once(name, lambda bound=bound: bound)  # type: ignore[misc]
        toolbox = {tool.label: tool for tool in await self._offered(ctx)}
        ctx.once(TOOLBOX, lambda: toolbox)

    async def _offered(self, ctx: RowContext) -> list[Offered]:
        """The tools, those of servers too: what a server offers is a kept answer. In a run that only looks, one that is not kept offers nothing."""
        found: list[Offered] = []
        for tool in self.tools:
            if isinstance(tool, Tool):
                found.append(tool)
                continue
            replies = await ctx.ask(Question(llm=tool, form="input"), pl.Series("prompt", [LIST], dtype=pl.String), [0])
            if (failure := replies.failures.get(0)) is not None and failure.error != "NotAsked":
                raise RunError(f"{self.where}: what the MCP server offers is not known: {failure.message}")
            if (listing := replies.answers["text"][0]) is not None:
                found += tool.offered(listing)
        names = [tool.label for tool in found]
        if twice := [n for n in names if names.count(n) > 1]:
            raise SettingError(f"{self.where}: two tools are called {twice[0]!r}. Of a server, name those that are meant: dr.Mcp(…, only=[…]).")
        return found

    def _rules(self, toolbox: Mapping[str, Offered], ctx: RowContext) -> Rules:
        llm = ctx.resolve(self.llm)
        schemas = [tool.schema for tool in toolbox.values()]
        assistant = Question(
            llm=llm, system=self.system if self.system is not None else llm.system, sampling=self._sampling, form="messages",
            tools=json.dumps(schemas, ensure_ascii=False, sort_keys=True, separators=(",", ":")) if schemas else None,
            tells_thoughts=self.reasoning is not None,
        )  # fmt: skip
        user = None
        if self.user is not None:
            played = ctx.resolve(self.user)
            user = Question(llm=played, system=played.system, sampling=played.sampling, form="messages")
        tools = {name: (tool, Question(llm=tool, form="input")) for name, tool in toolbox.items()}
        return Rules(
            assistant=assistant, user=user, tools=tools, max_turns=self.max_turns, until=self.until, until_tool=self.until_tool, reasoning=self.reasoning
        )

    async def run(self, rows: pl.DataFrame, ctx: RowContext) -> pl.DataFrame:
        import asyncio

        toolbox: Mapping[str, Offered] = ctx.once(TOOLBOX, dict)
        rules = ctx.once(RULES, lambda: self._rules(toolbox, ctx))
        prompts = await self._texts(PROMPT, self.prompt, rows, ctx)
        told = await self._texts(TOLD, self.user_prompt, rows, ctx)
        told = pl.Series([PLAY] * rows.height, dtype=pl.String) if told is None else told
        opening = told if prompts is None else prompts
        first = rules.assistant if prompts is not None or rules.user is None else rules.user
        ordinals = await ctx.number(first, opening) if self.needs_order else [0] * rows.height
        talks: dict[int, Talk] = {}
        for i in range(rows.height):
            if i in ctx.failures or opening[i] is None or (told[i] is None and self.user is not None):
                continue
            said = [] if prompts is None else self._first(prompts[i])
            talks[i] = Talk(rules, ctx, messages=said, told=told[i], opening=opening[i], ordinal=ordinals[i])
        held = dict(zip(talks, await asyncio.gather(*(self._held(talk) for talk in talks.values())), strict=True))
        for i, made in held.items():
            if isinstance(made, Failure):
                ctx.fail(i, made)
        if rules.counted["errors"]:
            what = f"{rules.counted['errors']:,} of {rules.counted['calls']:,} calls of tools gave an error, which the model read"
            ctx.note(what, calls_of_tools=rules.counted["calls"], errors_of_tools=rules.counted["errors"])
        values = [self._column(made) if isinstance(made := held.get(i), list) else None for i in range(rows.height)]
        return rows.with_columns(pl.Series(self.into, values, dtype=self.schema[self.into]))

    @staticmethod
    async def _texts(name: str, prompt: Prompt | None, rows: pl.DataFrame, ctx: RowContext) -> pl.Series | None:
        return None if prompt is None else await ctx.once(name, lambda: prompt).rendered(rows, ctx)

    def _first(self, prompt: str) -> list[dict[str, Any]]:
        """The messages that a row begins with."""
        assert self.prompt is not None
        return list(json.loads(prompt)) if self.prompt.form == "messages" else [{"role": "user", "content": prompt}]

    async def _held(self, talk: Talk) -> list[dict[str, Any]] | Failure | None:
        import asyncio

        try:
            return await asyncio.wait_for(talk.held(), self.timeout_s)
        except FailedTurnError as exc:
            return exc.failure
        except NotAskedError:
            return talk.messages
        except TimeoutError:
            late = TimeoutError(f"{self.label}: the conversation did not end within {self.timeout_s:g} s; what was said is kept, and goes on in the next run")
            return Failure.of(late, request=json.dumps(talk.messages[-3:], ensure_ascii=False))

    def _column(self, messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The messages as the column has them, the system prompt first."""
        system = self.system if self.system is not None else self.llm.system
        told = [{"role": "system", "content": system}] if system else []
        return [{name: m.get(name) for name in self._of_message} for m in (*told, *map(_spoken, messages))]


def _spoken(message: dict[str, Any]) -> dict[str, Any]:
    """A message whose content is text: images are named."""
    content = message.get("content")
    if not isinstance(content, list):
        return message
    return {**message, "content": "\n".join(part["text"] if part.get("type") == "text" else f"[{part.get('type')}]" for part in content)}
