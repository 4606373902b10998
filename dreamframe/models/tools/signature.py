"""What a function may be called with, from its signature, its type hints and its docstring: as a JSON schema, and as a check of arguments."""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from dreamframe.errors import SettingError

GOOGLE = re.compile(r"^\s*(?:Args|Arguments|Parameters):\s*$")
ARGUMENT = re.compile(r"^\s*\*{0,2}(\w+)\s*(?:\([^)]*\))?\s*:\s*(.+)$")
SPHINX = re.compile(r"^\s*:param\s+(?:[^:]+\s)?(\w+):\s*(.+)$")
OTHER_PART = re.compile(r"^\s*(?:Returns?|Raises|Yields?|Examples?|Notes?):\s*$|^\s*:(?:returns?|rtype|raises)\b|^\s*>>>")
OF_SCHEMA = ("title",)  # what pydantic adds of its own


@dataclass(frozen=True)
class Signature:
    """The arguments of a function, and what it says of itself."""

    description: str
    schema: Mapping[str, Any]  # JSON schema of an object
    check: Callable[[Mapping[str, Any]], dict[str, Any]]  # arguments as the function takes them; raises ValueError, in words for a model


def signature_of(function: Callable[..., Any], *, who: str) -> Signature:
    """What a function tells of itself. Raises SettingError for one whose arguments have no names, or types that JSON cannot hold."""
    import pydantic  # building a plan without tools does without

    inner = getattr(function, "function", function)  # of what dr.versioned made
    try:
        parameters = inspect.signature(inner).parameters.values()
        hints = typing.get_type_hints(inner if hasattr(inner, "__code__") else getattr(inner, "__call__", inner), include_extras=True)  # noqa: B004
    except (TypeError, ValueError, NameError) as exc:
        raise SettingError(f"{who}: its arguments cannot be read ({exc}); give a function with names and type hints.") from exc
    summary, told = described_in(inspect.getdoc(inner) or "")
    fields: dict[str, Any] = {}
    for n, parameter in enumerate(parameters):
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
            raise SettingError(f"{who}: {parameter} has no name that a model could use; give a function whose arguments all have names.")
        default = ... if parameter.default is parameter.empty else parameter.default
        annotation = hints.get(parameter.name, Any)
        about = {"description": told[parameter.name]} if parameter.name in told else {}
        field: Any = pydantic.Field(default, alias=parameter.name, **about)  # type: ignore[call-overload]
        fields[f"argument_{n}"] = (annotation, field)
    try:
        model = pydantic.create_model("Arguments", __config__=pydantic.ConfigDict(extra="forbid"), **fields)
        schema = plain(model.model_json_schema(by_alias=True))
    except (pydantic.errors.PydanticUserError, pydantic.errors.PydanticSchemaGenerationError, TypeError) as exc:
        said = str(exc).partition("\n")[0]
        types = "str, int, float, bool, lists, Literal, pydantic models"
        raise SettingError(f"{who}: an argument has a type that JSON cannot hold: {said}. Types are {types}.") from exc
    names = [p.name for p in parameters]

    def check(given: Mapping[str, Any]) -> dict[str, Any]:
        try:
            read = model.model_validate(dict(given))
        except pydantic.ValidationError as exc:
            wrong = [f"{'.'.join(map(str, e['loc'])) or 'the arguments'}: {e['msg']}" for e in exc.errors(include_url=False, include_input=False)]
            raise ValueError("; ".join(wrong[:5])) from exc
        return {name: getattr(read, f"argument_{n}") for n, name in enumerate(names) if f"argument_{n}" in read.model_fields_set}

    return Signature(summary, schema, check)


def plain(schema: Any) -> Any:
    """A schema without the titles that pydantic makes out of names; a property that is called so stays."""
    if isinstance(schema, list):
        return [plain(v) for v in schema]
    if not isinstance(schema, dict):
        return schema
    return {k: {n: plain(p) for n, p in v.items()} if k in ("properties", "$defs") else plain(v) for k, v in schema.items() if k not in OF_SCHEMA}


def described_in(doc: str) -> tuple[str, dict[str, str]]:
    """What a docstring says of the function, and of each argument, as Google's style and Sphinx write it.

    >>> from dreamframe.models.tools.signature import described_in
    >>> described_in("Find a town.\\n\\nArgs:\\n    name: how it is spelt\\n        on maps\\n\\nReturns:\\n    the town")
    ('Find a town.', {'name': 'how it is spelt on maps'})
    """
    told: dict[str, str] = {}
    words: list[str] = []
    is_about, last = True, ""  # whether the lines are of the function; the argument that they are of
    in_arguments = False
    for line in doc.splitlines():
        if OTHER_PART.match(line):
            is_about, in_arguments, last = False, False, ""
        elif GOOGLE.match(line):
            is_about, in_arguments = False, True
        elif found := (SPHINX.match(line) or (ARGUMENT.match(line) if in_arguments else None)):
            is_about, last = False, found[1]
            told[last] = found[2].strip()
        elif last and line.strip():
            told[last] += f" {line.strip()}"
        elif is_about:
            words.append(line.strip())
    return " ".join(w for w in words if w), told
