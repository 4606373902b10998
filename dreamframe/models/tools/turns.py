"""A turn of a model that calls tools, as the text of its answer: the message in OpenAI's shape, without its role."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from dreamframe.models.answer import clean
from dreamframe.models.request import Completion
from dreamframe.store.ends import STOP, THOUGHTS, TOOLS

ENDS = (STOP, TOOLS, THOUGHTS)  # of a turn whose calls are whole: one that was cut off calls nothing


class Call(NamedTuple):
    """One call of a tool, as the model made it. Its arguments may be anything: they are read where the tool is called."""

    id: str
    name: str
    arguments: str  # JSON text, if the model kept to it


def with_calls(done: Completion, calls: Iterable[Call]) -> Completion:
    """The completion whose text is the whole turn, if it calls tools; of one that was cut off in its calls there is no text."""
    if not (made := list(calls)):
        return done
    if done.finish not in ENDS:
        done.text = None
        return done
    held = [{"id": c.id, "type": "function", "function": {"name": c.name, "arguments": c.arguments}} for c in made]
    done.text = clean(json.dumps({"content": done.text or None, "tool_calls": held}, ensure_ascii=False))
    done.finish = TOOLS
    if done.extra is not None:  # the calls are the answer, and stand in it once
        left = {name: value for name, value in json.loads(done.extra).items() if name not in ("tool_calls", "function_call")}
        done.extra = json.dumps(left, ensure_ascii=False) if left else None
    return done


def message_of(text: str) -> dict[str, Any]:
    """The message of a turn that calls tools, from the text of its answer."""
    return {"role": "assistant", **json.loads(text)}


def calls_of(message: Mapping[str, Any]) -> list[Call]:
    """The calls in a message."""
    return [Call(c["id"], c["function"]["name"], c["function"]["arguments"]) for c in message.get("tool_calls") or ()]


def read_call(id: object, name: object, arguments: object) -> Call:
    """A call as a server or a function tells it: arguments may come as an object, and an id may be missing."""
    told = arguments if isinstance(arguments, str) else json.dumps({} if arguments is None else arguments, ensure_ascii=False)
    return Call(str(id or ""), str(name or ""), told)


def read_message(message: Mapping[str, Any]) -> list[Call]:
    """The calls of a message in OpenAI's shape, also of the first one, which called one function."""
    found = []
    for call in message.get("tool_calls") or ():
        function = call.get("function") or {}
        found.append(read_call(call.get("id"), function.get("name"), function.get("arguments")))
    if not found and (old := message.get("function_call")):
        found.append(read_call("", old.get("name"), old.get("arguments")))
    return found
