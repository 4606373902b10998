"""What crosses between the processes of a model: JSON, and nothing that is ever run."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Mapping
from typing import Any

from dreamframe import errors
from dreamframe.errors import CallError, DreamframeError, PermanentCallError, SettingError, SourceChangedError
from dreamframe.models.base import Artefact, ModelSettings
from dreamframe.models.local.cores import free_cores
from dreamframe.models.local.weights import KeptWeights
from dreamframe.models.request import Completion, Question, Request, Sampling
from dreamframe.names import NAMES

LONGEST_LINE = 1 << 28  # bytes of one request or answer
PARTS = [name for name in Completion.__slots__ if name not in ("room", "attempts", "ms")]  # of an answer; whoever calls says the rest


def settings_fields(settings: ModelSettings, device: str | None, *, share: int) -> dict[str, Any]:
    """Resolved settings of one replica. Processors are shared evenly, where it is not on a GPU."""
    held = {f.name: getattr(settings, f.name) for f in dataclasses.fields(settings)}
    held = {k: v.path if isinstance(v, Artefact) else v for k, v in held.items()}
    held = {k: str(v.path() or v) if isinstance(v, KeptWeights) else v for k, v in held.items()}  # what they are is checked here
    held["authority"] = None if settings.authority is None else list(settings.authority.listed)
    kind = next(k.__name__ for k in type(settings).__mro__ if k.__name__ in NAMES)
    own: dict[str, Any] = {"replicas": None, "device": device}
    if device in (None, "cpu"):
        own["threads"] = held.get("threads") or max(1, free_cores() // share)
    return {"kind": kind, "fields": {**held, **{name: value for name, value in own.items() if name in held}}}


def request_fields(request: Request) -> dict[str, Any]:
    q = request.question
    asked = {"system": q.system, "sampling": q.sampling.given(), "json_schema": q.json_schema, "form": q.form, "labels": q.labels}
    return {"prompt": request.prompt, "sample": request.sample, "key": request.key.hex(), "question": asked}


def request_of(message: Mapping[str, Any], settings: ModelSettings) -> Request:
    asked = dict(message["question"])
    question = Question(llm=settings, **{**asked, "sampling": Sampling.of(**asked["sampling"]), "labels": tuple(asked["labels"])})
    return Request(question, message["prompt"], message["sample"], bytes.fromhex(message["key"]))


def completion_fields(completion: Completion) -> dict[str, Any]:
    held = {name: getattr(completion, name) for name in PARTS}
    return {**held, "data": base64.b64encode(completion.data).decode() if completion.data is not None else None}


def completion_of(message: Mapping[str, Any]) -> Completion:
    held = {name: message[name] for name in PARTS}
    return Completion(**{**held, "data": base64.b64decode(held["data"]) if held["data"] is not None else None})


def error_fields(error: Exception) -> dict[str, Any]:
    """An error by its name and text, and whether it is a stranger's: it may be the fault of the process rather than of the request."""
    is_strange = not isinstance(error, DreamframeError) or (type(error) is PermanentCallError and not isinstance(error.__cause__, DreamframeError | None))
    return {"error": type(error).__name__, "message": str(error), "stops_run": bool(getattr(error, "stops_run", False)), "strange": is_strange}


def error_of(message: Mapping[str, Any]) -> DreamframeError:
    """The error again, where it is one of dreamframe's that a text makes; else a PermanentCallError."""
    kind = getattr(errors, message["error"], None)
    made: DreamframeError
    if isinstance(kind, type) and (issubclass(kind, CallError) or kind in (SettingError, SourceChangedError)):
        made = kind(message["message"])
    else:
        made = PermanentCallError(f"{message['error']}: {message['message']}")
    if isinstance(made, CallError) and message["stops_run"]:
        made.stops_run = True
    return made
