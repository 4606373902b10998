"""A plan as JSON: a flat list of steps, each naming the steps below it, whose values are plain JSON or an object with one `$` key.

What Python alone can say (functions, users' classes, objects) is not written: a name and a fingerprint stand for it, and whoever reads the plan hands it over.
Secrets are never written: those of their own fields are found in the environment again, and those among other settings (`extra={"password": …}`,
`storage_options=`) are handed over as well.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import datetime
import decimal
import io
import itertools
import json
import math
import pathlib
import re
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any

import polars as pl

from dreamframe.errors import DreamframeError, FingerprintError, PlanFormatError
from dreamframe.identity.arrow import as_arrow, in_arrow
from dreamframe.identity.fingerprint import fingerprint
from dreamframe.identity.whose_code import recorded
from dreamframe.models.api.address import Address
from dreamframe.models.edges import Edge, Trained, as_edge
from dreamframe.models.embedders.base import Embedder
from dreamframe.models.local.weights import KeptWeights
from dreamframe.plan.json import expressions
from dreamframe.plan.json.registry import is_record
from dreamframe.plan.step import Source, Step
from dreamframe.plan.steps.source import KeptScan, Scan, Table
from dreamframe.prompts.answer_schema import AnswerSchema
from dreamframe.prompts.json_schema import is_pydantic
from dreamframe.prompts.labels import LabelsOf
from dreamframe.redaction.secret import Secret, SecretJson, hidden, plain_json, secrets_within

FORMAT = 1
BY_TEXT: Mapping[type, tuple[str, Callable[[Any], str]]] = {
    datetime.date: ("date", datetime.date.isoformat),
    datetime.timedelta: ("timedelta", lambda v: f"{v.days} {v.seconds} {v.microseconds}"),
    decimal.Decimal: ("decimal", str),
    bytes: ("bytes", lambda v: base64.b64encode(v).decode()),
}
TYPES = {t: t.__name__ for t in (bool, int, float, str, bytes, type(None), list, dict, tuple, set)}

WEIGHTS = ("model", "adapter", "base", "teacher")  # fields that may name weights
RowsOf = Callable[[Source], Any]  # what stands for a source's rows; None: they are read again from where they were


def inline(source: Source) -> Any:
    """A table's rows themselves; files are read again."""
    return {"arrow": arrow_text(source.data)} if isinstance(source, Table | KeptScan) else None


def arrow_text(rows: pl.DataFrame) -> str:
    """Rows as an Arrow stream, in base64."""
    out = io.BytesIO()
    as_arrow(rows).write_ipc_stream(out, compression="zstd")
    return base64.b64encode(out.getvalue()).decode()


def plan_record(step: Step, *, rows: RowsOf = inline, is_for_strangers: bool = False, handed: dict[str, object] | None = None) -> dict[str, Any]:
    """The plan as a JSON object. For strangers, files and folders go by their last name, and weights also by what they are. What must be handed over to who
    reads it is put into `handed`, by its name.

    Raises PlanFormatError, naming the step, for what cannot be written: a Python function inside a polars expression, an object without identity.
    """
    writer = Writer(rows, is_for_strangers=is_for_strangers)
    steps = [writer.step(node) for node in step.walk()]
    if handed is not None:
        handed.update(writer.handed)
    return {"plan": FORMAT, "given": writer.given, "steps": steps}


class Writer:
    """One plan on its way to JSON."""

    def __init__(self, rows: RowsOf, *, is_for_strangers: bool = False) -> None:
        self.given: dict[str, dict[str, str]] = {}  # name → what must be handed over, and its fingerprint
        self.handed: dict[str, object] = {}  # name → that itself
        self._rows, self._is_for_strangers = rows, is_for_strangers
        self._numbers: dict[int, int] = {}  # id of a step → its place in the list
        self._node: Step | None = None  # the step that is being written

    def step(self, node: Step) -> dict[str, Any]:
        """One step, after those below it."""
        self._node = node
        try:
            made: dict[str, Any] = {"step": self._class(type(node)), "inputs": [self._numbers[id(i)] for i in node.inputs]}
            held = self._rows(node) if isinstance(node, Source) else None
            without = {"inputs", "data"} if isinstance(node, (Table, KeptScan)) else {"inputs"}
            if isinstance(node, Scan) and held is not None and secrets_within(node.options):
                without.add("options")  # the rows are there: nobody needs the keys of where they came from
            made |= self._fields(node, without)
            if held is not None:
                others = {name: expressions.type_written(dtype) for name, dtype in node.schema.items() if in_arrow(dtype, name) != dtype}
                made["rows"] = {**held, "types": others} if others else held
        except (PlanFormatError, FingerprintError) as exc:
            raise PlanFormatError(f"{node.label}: this plan cannot be written as JSON: {exc}") from exc
        self._numbers[id(node)] = len(self._numbers)
        return made

    def _class(self, cls: type) -> Any:
        cls = recorded(cls)
        return cls.__name__ if is_record(cls) else self._give(cls, cls.__name__, "class")

    def _fields(self, record: Any, without: set[str]) -> dict[str, Any]:
        fields = {}
        for f in dataclasses.fields(record):
            if f.name in without or f.metadata.get("secret") or f.metadata.get("is_lent") or not (f.init or f.metadata.get("is_written")):
                continue
            value = getattr(record, f.name)
            if f.metadata.get("is_written_if_given") and value == f.default:
                continue
            if not f.metadata.get("runtime") or _is_plain(value):
                fields[f.metadata.get("written_as", f.name)] = self.value(value)
        return {"fields": fields | self._told(record) | (_weights(record) if self._is_for_strangers else {})}

    def _told(self, record: Any) -> dict[str, Any]:
        """What would have to be looked up in files to make the plan again: columns, lengths of vectors. Reading a plan opens none."""
        if isinstance(record, Scan):
            return {"columns": self.value(tuple(record.schema.items()))}
        with contextlib.suppress(DreamframeError, OSError):  # weights that are nowhere, or a Hub out of reach
            return {"length": record.dim} if isinstance(record, Embedder) and not hasattr(record, "base_url") else {}
        return {}

    def value(self, value: Any) -> Any:
        """Any value of a record."""
        match value:
            case None | bool() | int() | str() if type(value) in TYPES:
                return self._text(value) if isinstance(value, str) else value
            case float() if type(value) is float:
                return value if math.isfinite(value) else {"$float": str(value)}
            case list() | tuple() | set() | frozenset() if type(value) in (list, tuple, set, frozenset):
                held = [self.value(v) for v in (sorted(value, key=fingerprint) if isinstance(value, set | frozenset) else value)]
                return held if type(value) is tuple else {f"${type(value).__name__}": held}
            case dict() | types.MappingProxyType() if type(value) in (dict, types.MappingProxyType):
                return {"$dict" if type(value) is dict else "$mapping": [[self.value(k), self.value(v)] for k, v in value.items()]}
        return self._special(value)

    def _special(self, value: Any) -> Any:
        if type(value) in BY_TEXT:
            kind, text = BY_TEXT[type(value)]
            return {f"${kind}": text(value)}
        match value:
            case Secret():
                return self._text(str(value)) if isinstance(value, Address) and value.shown == value else self._secret(value)
            case KeptWeights():
                return {"$weights": [str(value), value.identity if isinstance(value.identity, str) else dict(value.identity), value.dim]}
            case datetime.datetime() if type(value) is datetime.datetime and type(value.tzinfo) in (type(None), datetime.timezone):
                return {"$datetime": value.isoformat()}
            case re.Pattern() if isinstance(value.pattern, str):
                return {"$pattern": [value.pattern, value.flags]}
            case pathlib.PurePath():
                return {"$path": self._text(str(value))}
            case AnswerSchema():
                return {"$answer": self._answer(value)}
        return self._of_polars(value)

    def _secret(self, value: Secret) -> Any:
        """What must be handed over again: a secret by its name; of JSON with secrets in it, those."""
        found = json.loads(value) if isinstance(value, SecretJson) else None
        if found is not None and plain_json(found) == value:
            return {"$json": self.value(hidden(found))}
        return self._give(value, value.name, "secret")

    def _of_polars(self, value: Any) -> Any:
        match value:
            case pl.selectors.Selector():
                return {"$selector": expressions.written(value)}
            case pl.Expr():
                return {"$expr": expressions.written(value)}
            case pl.DataFrame():
                return {"$rows": arrow_text(value)}
            case pl.Series():
                return {"$series": arrow_text(pl.DataFrame({value.name: value}))}
            case pl.Schema():
                return {"$schema": [[name, expressions.type_written(dtype)] for name, dtype in value.items()]}
            case pl.DataType():
                return {"$dtype": expressions.type_written(value)}
        return self._by_class(value)

    def _number(self, below: Step) -> int | None:
        """The place of a step that a record holds. Where a rule put another in its place, the record holds the one as it was written, and the step that is
        being written reads the other."""
        was: Step | None = self._node
        while was is not None and id(below) not in self._numbers:
            at = next((n for n, i in enumerate(was.inputs) if i is below), None)
            if at is not None and self._node is not None and len(was.inputs) == len(self._node.inputs):
                below = self._node.inputs[at]
            was = was.made_from
        return self._numbers.get(id(below))

    def _by_class(self, value: Any) -> Any:
        if isinstance(value, type):
            return self._type(value, value.__name__)
        if isinstance(edge := as_edge(value), Edge):
            kind = "model" if isinstance(edge, Trained) else "frame"
            if (number := self._number(edge.step)) is None:
                raise PlanFormatError(f"it holds a {kind} that is not an edge of the plan")
            return {f"${kind}": number}
        cls: type = type(value)
        if dataclasses.is_dataclass(cls) and (is_record(cls) or not cls.__module__.startswith("dreamframe.")):
            return {"$record": self._class(cls), **self._fields(value, set())}
        name = getattr(value, "__name__", None) or cls.__name__
        return self._give(value, str(name), "function" if callable(value) else "object")

    def _type(self, cls: type, name: str) -> Any:
        if cls in TYPES:
            return {"$type": name}
        return {"$dtype_class": name} if issubclass(cls, pl.DataType) and getattr(pl, name, None) is cls else self._give(cls, name, "class")

    def _answer(self, schema: AnswerSchema) -> Any:
        if isinstance(schema, LabelsOf):
            return {"labels": self.value(schema.rows), "column": self.value(schema.column)}
        if not is_pydantic(schema.shape):
            return {"schema": self.value(dict(schema.schema)), "dtype": expressions.type_written(schema.dtype)}
        return {"schema": self.value(dict(schema.schema)), "shape": self._shape(schema.shape)}

    def _shape(self, shape: Any) -> Any:
        """A type form: of pydantic's models by name, of everything else by its parts."""
        origin, parts = typing.get_origin(shape), typing.get_args(shape)
        if origin is typing.Literal:
            return {"$form": "Literal", "of": [self.value(v) for v in parts]}
        if origin in (typing.Union, types.UnionType, list, dict, tuple, set):
            kind = "Union" if origin in (typing.Union, types.UnionType) else str(getattr(origin, "__name__", ""))
            return {"$form": kind, "of": [self._shape(p) for p in parts], "is_new": origin is types.UnionType}
        if shape in TYPES:
            return {"$type": TYPES[shape]}
        return self._give(shape, getattr(shape, "__name__", "shape"), "class")

    def _give(self, value: Any, name: str, kind: str) -> Any:
        """Let a name stand for what is Python's own; two things of one name are told apart by a number."""
        name, digest = re.sub(r"\W+", "", name) or kind, fingerprint(value, is_lasting=True)
        names = itertools.chain((name,), (f"{name}_{n}" for n in itertools.count(2)))
        free = next(n for n in names if n not in self.given or self.given[n]["digest"] == digest)
        module = "whoever made the plan" if kind == "secret" else str(getattr(value, "__module__", None) or type(value).__module__)
        self.given[free] = {"kind": kind, "module": module, "digest": digest}
        self.handed[free] = value
        return {"$given": free}

    def _text(self, text: str) -> str:
        return portable(text) if self._is_for_strangers else text


def _weights(record: Any) -> dict[str, Any]:
    """The fields of a record that name weights, with what the weights are: a digest of their content, or a commit of the Hub."""
    held = {name: v for name in WEIGHTS if isinstance(v := getattr(record, name, None), str)}
    try:
        known = dict(record.identity_fields()) if held and hasattr(record, "identity_fields") else {}
    except DreamframeError:
        return {}  # they are nowhere, and no answer was made with them
    found: dict[str, Any] = {}
    for name, value in held.items():
        identity = known.get(name, value)
        if isinstance(identity, Mapping) and "revision" in vars(record):
            found |= {"revision": identity.get("commit")}
        elif identity != value:
            dim = getattr(record, "dim", None)
            found[name] = {"$weights": [portable(str(value)), dict(identity) if isinstance(identity, Mapping) else identity, dim]}
    return found


def _is_plain(value: Any) -> bool:
    if isinstance(value, (tuple, list)):
        return all(_is_plain(v) for v in value)
    return value is None or type(value) in (bool, int, float, str)


def portable(text: str) -> str:
    """For a text that names something on this disk by its whole path: the way there from the working directory, or the last part alone."""
    if not text.startswith(("/", "~")) or len(text) > 4096 or "\n" in text:
        return text
    try:
        path = pathlib.Path(text).expanduser()
        if not path.exists():
            return text
        here = pathlib.Path.cwd()
        return str(path.relative_to(here)) if path.is_relative_to(here) else path.name
    except (OSError, ValueError, RuntimeError):
        return text

