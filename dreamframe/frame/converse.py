"""Conversations in rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from dreamframe.errors import SettingError, need_name
from dreamframe.frame.arguments import as_llm, need_order
from dreamframe.frame.base import Verbs
from dreamframe.frame.mapped import need_steering
from dreamframe.frame.model import Model
from dreamframe.frame.plan_warnings import warn_of_prompt, warn_of_system
from dreamframe.models.base import LLM, SAMPLING_FIELDS
from dreamframe.models.habits import described
from dreamframe.models.request import Sampling
from dreamframe.plan.step import OnError
from dreamframe.prompts.base import Prompt

if TYPE_CHECKING:
    from dreamframe.models.tools.mcp import Mcp
    from dreamframe.models.tools.tool import Tool

V = TypeVar("V", bound="ConverseVerbs")  # Self, as jedi understands it too
OWN = ("user", "user_prompt", "system", "tools", "max_turns", "until", "timeout_s", "into", "reasoning", "on_error", "name")
OF_MESSAGES = ("role", "content", "tool_calls", "tool_call_id", "name")


class ConverseVerbs(Verbs):
    """converse."""

    __slots__ = ()

    def converse(
        self: V,
        llm: LLM | Model | str,
        prompt: str | Prompt | None = None,
        *,
        user: LLM | Model | str | None = None,
        user_prompt: str | Prompt | None = None,
        system: str | None = None,
        tools: Sequence[Callable[..., Any] | Tool | Mcp] = (),
        max_turns: int = 8,
        until: str | Callable[..., Any] | Tool | None = None,
        timeout_s: float | None = None,
        into: str = "messages",
        reasoning: str | None = None,
        on_error: OnError = "raise",
        name: str | None = None,
        **sampling: Any,
    ) -> V:
        """Hold a conversation in each row with an assistant that may call tools, and with a simulated user: a list of messages in OpenAI's shape.

        `prompt` is the user's first message, filled with the row's columns (or a `dr.Chat`). Without `user` the assistant calls tools until it answers without
        calling one. `user` is a model that plays the user and writes every other message of the user's; `user_prompt` tells it whom it plays ("You are
        {persona} and want {goal}."), and it speaks first where there is no `prompt`. `system` is the assistant's, the same for all rows; that of the
        simulated user is its own setting. Sampling arguments are the assistant's, as in `df.prompt`.

        `tools` are functions, `dr.Tool` and `dr.Mcp`. Unknown tools, arguments that do not fit, and what a tool raises are results that the model reads
        ("Error: …"), and no failed rows. The calls of one turn run at once.

        A conversation ends after `max_turns` turns of the assistant, each call of tools being one; after a message in which the text `until` stands; when
        `until`, a function of the messages so far (dicts), gives true; or when the tool `until`, one of `tools`, was called. A row that took longer than
        `timeout_s` seconds (None: as long as it takes) is a failed row, and goes on from there in the next run.

        Each message has a role and a content; with tools also tool_calls, tool_call_id and name, null where there are none. Arguments are JSON text.
        `reasoning` names a field for the assistant's thoughts, which are never part of the content and are not sent back to it: "reasoning_content" is what
        the chat templates of most models that think read, "thinking" that of gpt-oss.

        Every turn is a kept answer for the messages so far, every result one for the tool's code and the arguments: a run that ended goes on in the middle of
        its conversations, an edited tool runs again what called it and what followed from that, and `offline=True` replays all of it without a call. Rows are
        at different turns at once. A turn without an answer (a refusal, say) is a failed row, as in `df.prompt`. A call of a tool counts as a call.

        Raises SettingError where nobody speaks first, and for tools that the model cannot be given (models in this process), when the plan is built;
        RowsFailedError when it runs.

        >>> def ask(messages, tools):
        ...     if messages[-1]["role"] == "user":
        ...         call = {"id": "call_1", "function": {"name": "price", "arguments": '{"item": "tea"}'}}
        ...         return {"tool_calls": [call]}
        ...     return f"It costs {messages[-1]['content']}."
        >>> def price(item: str) -> float:
        ...     return {"tea": 4.5}[item]
        >>> df = dr.frame({"q": ["How much is tea?"]}).converse(dr.FunctionLLM(ask), "{q}", tools=[price])
        >>> [(m["role"], m["content"]) for m in df.to_dicts()[0]["messages"]]
        [('user', 'How much is tea?'), ('assistant', None), ('tool', '4.5'), ('assistant', 'It costs 4.5.')]
        """
        from dreamframe.plan.steps.converse import Converse  # most plans hold no conversation

        where = name or "converse"
        need_order("converse", llm, prompt, user)
        need_name(into, step=where)
        need_steering(timeout_s, None, where)
        if isinstance(max_turns, bool) or not isinstance(max_turns, int):
            raise SettingError(f"{where}: max_turns={max_turns!r} is not a whole number.")
        if user is None and user_prompt is not None:
            raise SettingError(f"{where}: user_prompt= tells a simulated user whom it plays; give the model that plays it, user=llm.")
        for argument in sampling:
            if argument not in SAMPLING_FIELDS:
                raise SettingError.unknown(argument, possible={*OWN, *SAMPLING_FIELDS}, where=where)
        if reasoning is not None and (not isinstance(reasoning, str) or reasoning in OF_MESSAGES):
            raise SettingError(f"{where}: reasoning={reasoning!r} cannot be the name of the thoughts in a message; give 'reasoning_content' or 'thinking'.")
        model = as_llm(llm, verb=where)
        held = toolbox(tools, where=where)
        condition, tool = ending(until, held, where=where)
        made = Converse.over(
            self.step, llm=model, prompt=None if prompt is None else Prompt.of(prompt, step=where), user=None if user is None else as_llm(user, verb=where),
            user_prompt=None if user_prompt is None else Prompt.of(user_prompt, step=where), system=system, sampling=Sampling.of(step=where, **sampling),
            tools=held, max_turns=max_turns, until=condition, until_tool=tool, timeout_s=timeout_s, into=into, reasoning=reasoning, on_error=on_error,
            name=name,
        )  # fmt: skip
        if made.prompt is not None and user_prompt is None:
            warn_of_prompt(made.prompt, step=made.where, below=self.step)
        warn_of_system(system, model, step=made.where, below=self.step)
        return self._over(made)


def toolbox(tools: object, *, where: str) -> tuple[Tool | Mcp, ...]:
    """What `tools=` names, as tools. Raises SettingError for anything else."""
    from dreamframe.models.tools.mcp import Mcp
    from dreamframe.models.tools.tool import Tool

    if isinstance(tools, str) or callable(tools) or not isinstance(tools, Sequence):
        raise SettingError(f"{where}: tools={described(tools)} is not a list; give functions, dr.Tool and dr.Mcp in one: tools=[search].")
    made = []
    for tool in tools:
        if not isinstance(tool, Tool | Mcp) and (not callable(tool) or isinstance(tool, type)):
            raise SettingError(f"{where}: {described(tool)} is not a tool; give a function with type hints, a dr.Tool or a dr.Mcp.")
        made.append(tool if isinstance(tool, Tool | Mcp) else Tool(tool))
    return tuple(made)


def ending(until: object, tools: Sequence[Tool | Mcp], *, where: str) -> tuple[Any, str | None]:
    """What ends a conversation: a text or a condition, or the name of a tool. Raises SettingError for anything else."""
    from dreamframe.models.tools.tool import Tool

    if isinstance(until, Tool):
        return None, until.label
    if callable(until) and not isinstance(until, type):
        return next(((None, t.label) for t in tools if isinstance(t, Tool) and t.model is until), (until, None))
    if until is not None and (not isinstance(until, str) or not until):
        raise SettingError(f"{where}: until={described(until)} is not a text, a function of the messages, or one of tools=.")
    return until, None
