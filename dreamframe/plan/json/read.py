"""Reads a plan from JSON. Only records of dreamframe are made; functions and classes are those that the caller passes, if their fingerprints are the plan's."""

from __future__ import annotations

import base64
import dataclasses
import datetime
import decimal
import os
import pathlib
import re
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import polars as pl

from dreamframe.errors import DreamframeError, FingerprintError, NotAllowedError, PlanError, PlanFormatError
from dreamframe.identity.fingerprint import fingerprint
from dreamframe.models.authority import Authority, shown
from dreamframe.models.base import ModelSettings
from dreamframe.models.edges import Rows, Trained, Values
from dreamframe.models.llms.litellm import LiteLLM
from dreamframe.models.local.weights import KeptWeights
from dreamframe.plan.json import expressions
from dreamframe.plan.json.field_types import declared, fits
from dreamframe.plan.json.registry import record_class
from dreamframe.plan.json.write import FORMAT, TYPES
from dreamframe.plan.step import Step
from dreamframe.plan.steps.algebra import VERBS, relational
from dreamframe.plan.steps.relational import Relational
from dreamframe.plan.steps.source import HubStream, KeptScan, LeftOut, Scan, Table
from dreamframe.plan.steps.train import Train
from dreamframe.prompts.answer_schema import AnswerSchema
from dreamframe.prompts.labels import LabelsOf
from dreamframe.prompts.parsers import WERE_FUNCTIONS
from dreamframe.redaction.secret import plain_json
from dreamframe.store.foreign import to_frame
from dreamframe.store.ipc import damage, most_unfolded, read_table

NAMED_TYPES = {name: t for t, name in TYPES.items()}
NONE = Authority()
Given = Mapping[str, object] | Iterable[object]


def plan_of(
    record: object,
    *,
    functions: Given = (),
    allow: Iterable[str | os.PathLike[str]] | None = (),
    rows: Callable[[Mapping[str, Any]], pl.DataFrame | None] | None = None,
    trust_remote_code: bool = False,
) -> Step:
    """The plan that `plan_record` wrote. `rows` finds the rows of sources that the text names and does not hold. `allow` lists what it may reach; None: the
    user wrote it, in another process of this program, and it may reach what the user may.

    Raises PlanFormatError for what is not a plan, for functions that are missing or differ, and for one that wants code of a repository to run.
    """
    if not isinstance(record, Mapping) or not isinstance(record.get("steps"), list) or not record["steps"]:
        raise PlanFormatError("from_json: this is not a plan of dreamframe: it has no steps.")
    if record.get("plan") != FORMAT:
        said = f"the plan has format {record.get('plan')!r}; this dreamframe reads format {FORMAT}"
        raise PlanFormatError(f"from_json: {said}. Upgrade with: pip install -U dreamframe")
    authority = None if allow is None else Authority.of(allow)
    try:
        reader = Reader(_given(record.get("given"), functions), rows, trust_remote_code, authority)
        for held in record["steps"]:
            reader.step(held)
        reader.steps[-1].walk()  # a plan that is too deep for that is too deep for everything else
        return reader.steps[-1]
    except PlanError as exc:
        if isinstance(exc, PlanFormatError | NotAllowedError):
            raise type(exc)(f"from_json: {exc}") from exc
        raise
    except DreamframeError:
        raise
    except RecursionError as exc:
        raise PlanFormatError("from_json: the plan is nested too deeply.") from exc
    except (Exception, pl.exceptions.PanicException) as exc:  # a stranger's JSON may be wrong in any way
        raise PlanFormatError(f"from_json: the plan cannot be read: {type(exc).__name__}: {exc}") from exc


def _given(wanted: object, functions: Given) -> dict[str, object]:
    """What the caller passes, by the names that the plan has for it."""
    have = dict(functions) if isinstance(functions, Mapping) else {str(getattr(f, "__name__", None) or type(f).__name__): f for f in functions}
    found, missing = {}, []
    for name, said in dict(wanted or {}).items():  # type: ignore[call-overload]
        kind, digest = str(said["kind"]), said["digest"]
        match = [v for n, v in have.items() if n == name and fingerprint(v, is_lasting=True) == digest] or [v for v in have.values() if _is(v, digest)]
        if match:
            found[str(name)] = match[0]
        elif name in WERE_FUNCTIONS and str(said.get("module")).startswith("dreamframe."):
            found[str(name)] = WERE_FUNCTIONS[str(name)]
        elif name in have:
            raise PlanFormatError(
                f"the {kind} {name!r} that you passed is not the one the plan was made with: its code, or something that it reads, differs "
                "(also another minor version of Python does that). Pass the one of then, or build the plan anew in Python."
            )
        else:
            missing.append((str(name), kind, str(said.get("module"))))
    if missing:
        told = "; ".join(f"the {kind} {name!r} of {module}" for name, kind, module in missing)
        raise PlanFormatError(
            f"the plan needs what JSON cannot hold: {told}. Import it and pass it: functions={{{', '.join(f'{n!r}: {n}' for n, _, _ in missing)}}}."
        )
    return found


def _is(value: object, digest: object) -> bool:
    try:
        return fingerprint(value, is_lasting=True) == digest
    except FingerprintError:
        return False


class Reader:
    """One plan on its way from JSON."""

    def __init__(
        self,
        given: Mapping[str, object],
        rows: Callable[[Mapping[str, Any]], pl.DataFrame | None] | None,
        trust_remote_code: bool,
        authority: Authority | None = NONE,
    ) -> None:
        self.steps: list[Step] = []
        self._given, self._rows, self._trusts, self._authority = given, rows, trust_remote_code, authority

    def step(self, held: Mapping[str, Any]) -> None:
        """One step over those that were read before it."""
        cls = self._class(held["step"])
        if not issubclass(cls, Step):
            raise PlanFormatError(f"{cls.__name__} is not a step")
        fields = self._fields(held, cls)
        fields |= self._lent(cls)
        fields["inputs"] = tuple(self._below(n) for n in held["inputs"])
        if issubclass(cls, Relational) and fields.get("verb") not in VERBS:
            raise PlanFormatError(f"{fields.get('verb')!r} is no verb of frames")
        if "rows" in held and "elsewhere" in held["rows"]:
            cls, fields = self._elsewhere(held["rows"], fields)
        elif "rows" in held:
            fields["data"] = self._source(held["rows"])
        if issubclass(cls, HubStream):
            fields |= {name: str(fields[name]) for name in ("repo", "split", "revision")}
        if cls is Scan and "rows" in held:
            kept = {"data": fields["data"], "name": fields.get("name"), "authority": self._authority}
            cls, fields = KeptScan, {**kept, **_strings(held["rows"], "kept_key", "described")}
        if cls is KeptScan:
            fields["is_claimed"] = self._rows is None or held["rows"].get("kept") != fields["kept_key"]
        self.steps.append(relational(**fields) if cls is Relational else cls(**fields))

    def _below(self, number: Any) -> Step:
        if type(number) is not int or not 0 <= number < len(self.steps):
            raise PlanFormatError(f"a step names an input that does not come before it ({number!r})")
        return self.steps[number]

    def _source(self, rows: Mapping[str, Any]) -> pl.DataFrame:
        if "arrow" in rows:
            found = rows_of(rows["arrow"])
        elif self._rows is None:
            raise PlanFormatError("the plan's rows are kept in a session: read it there, with session.plan(...)")
        else:
            handed = self._rows(rows)
            if handed is None:
                raise PlanFormatError("the plan's rows are not here")
            found = handed
        return found.cast({str(name): expressions.type_read(tree) for name, tree in rows.get("types", {}).items()})

    def _elsewhere(self, rows: Mapping[str, Any], fields: dict[str, Any]) -> tuple[type[Step], dict[str, Any]]:
        """A table whose rows were not published: over rows that the reader hands over, else a step that has none."""
        columns = tuple((str(name), expressions.type_read(tree)) for name, tree in rows["columns"])
        found = None if self._rows is None else self._rows({"elsewhere": pl.Schema(dict(columns))})
        kept: dict[str, Any] = {name: fields[name] for name in ("name", "authority", "cited") if name in fields}
        if found is not None:
            return Table, {**kept, "data": found}
        return LeftOut, {**kept, "columns": columns, "kept_key": str(rows["elsewhere"]), "n_rows": int(rows["n_rows"])}

    def _class(self, name: Any) -> type:
        if isinstance(name, Mapping):
            found = self.value(name)
            if not isinstance(found, type):
                raise PlanFormatError(f"{name!r} is not a class")
            return found
        return record_class(name)

    def _fields(self, held: Mapping[str, Any], cls: type) -> dict[str, Any]:
        named = {f.metadata.get("written_as", f.name): f.name for f in dataclasses.fields(cls)}
        fields = {named.get(name, str(name)): self.value(v) for name, v in held["fields"].items()}
        if unknown := sorted(fields.keys() - {f.name for f in dataclasses.fields(cls)}):
            raise PlanFormatError(f"{cls.__name__} has no field {unknown[0]!r}: the plan was changed by hand, or written by a newer dreamframe")
        for name, hint in declared(cls).items():
            if name in fields and not fits(fields[name], hint):
                raise PlanFormatError(f"{cls.__name__}.{name} is a {type(fields[name]).__name__}, which it cannot be")
        for f in dataclasses.fields(cls):
            if (f.metadata.get("secret") or f.metadata.get("is_lent")) and fields.get(f.name) is not None:
                raise PlanFormatError(f"{cls.__name__}.{f.name} stands in the plan; keys, headers and what a plan may reach are its reader's to give")
        if issubclass(cls, LiteLLM) and fields.get("environment") is not None:
            raise PlanFormatError("LiteLLM.environment stands in the plan; what the environment chooses is looked up where it runs")
        if "@" in (address := str(fields.get("base_url"))) or "?" in address:
            raise PlanFormatError(f"{cls.__name__}.base_url={shown(address)} holds credentials or a query, which no plan that was written holds")
        wants = fields.get("trust_remote_code") or any("trust_remote_code" in str(fields.get(name)) for name in ("args", "extra"))
        if wants and not self._trusts:
            raise PlanFormatError("the plan wants code from a model's repository to run (trust_remote_code). If you trust it: trust_remote_code=True.")
        return fields

    def _record(self, held: Mapping[str, Any]) -> Any:
        cls = self._class(held["$record"])
        if not dataclasses.is_dataclass(cls) or issubclass(cls, Step):
            raise PlanFormatError(f"{cls.__name__} is not a record that a step may hold")
        fields = self._fields(held, cls)
        if unknown := fields.keys() - {f.name for f in dataclasses.fields(cls)}:
            raise PlanFormatError(f"{cls.__name__} has no {min(unknown)!r} in this dreamframe; the plan may be of a newer one: pip install -U dreamframe")
        fields |= self._lent(cls)
        return cls.of_plan(fields) if issubclass(cls, ModelSettings) else cls(**fields)

    def _lent(self, cls: type) -> dict[str, Any]:
        """What every record that reaches for anything carries: the authority of the plan."""
        return {f.name: self._authority for f in dataclasses.fields(cls) if f.metadata.get("is_lent")}

    def value(self, held: Any) -> Any:
        """Any value of a record."""
        if isinstance(held, list):
            return tuple(self.value(v) for v in held)
        if not isinstance(held, Mapping):
            return held
        kind = next(iter(held), "")
        if kind in ("$record", "$form"):
            return self._record(held) if kind == "$record" else self._form(held)
        return self._one(str(kind), held.get(kind))

    def _one(self, kind: str, inner: Any) -> Any:
        """A value that stands under one key."""
        match kind:
            case "$given":
                return self._handed(inner)
            case "$list" | "$set" | "$frozenset":
                return {"$list": list, "$set": set, "$frozenset": frozenset}[kind](self.value(v) for v in inner)
            case "$dict" | "$mapping":
                made = {self.value(k): self.value(v) for k, v in inner}
                return made if kind == "$dict" else types.MappingProxyType(made)
            case "$frame" | "$model":
                return self._edge(kind, inner)
            case "$answer":
                return self._answer(inner)
            case "$json":  # with secrets in it, which were handed over
                return plain_json(self.value(inner))
            case _ if kind in PLAIN:
                return PLAIN[kind](inner)
        raise PlanFormatError(f"there is no kind of value {kind!r} in this dreamframe; the plan may be of a newer one: pip install -U dreamframe")

    def _handed(self, name: Any) -> object:
        if name not in self._given:
            raise PlanFormatError(f"the plan uses {name!r} and does not say what it is")
        return self._given[str(name)]

    def _edge(self, kind: str, number: Any) -> Any:
        below = self._below(number)
        if kind == "$frame":
            return Rows(below)
        if not isinstance(below, Train):
            raise PlanFormatError(f"{below.label} trains no model")
        return Trained(below)

    def _answer(self, held: Any) -> AnswerSchema:
        if "labels" in held:
            rows = self.value(held["labels"])
            if not isinstance(rows, Rows) or not isinstance(held["column"], str):
                raise PlanFormatError("labels that are not those of a column of a frame")
            return LabelsOf.of_column(Values(rows.step, held["column"]))
        shape = self.value(held["shape"]) if "shape" in held else expressions.type_read(held["dtype"])
        return AnswerSchema(shape, self.value(held["schema"]))

    def _form(self, held: Mapping[str, Any]) -> Any:
        parts = tuple(self.value(p) for p in held["of"])
        match held["$form"]:
            case "Literal":
                return typing.Literal[parts]
            case "Union" if held.get("is_new"):
                made = parts[0]
                for part in parts[1:]:
                    made |= part
                return made
            case "Union":
                return typing.Union[parts]  # noqa: UP007  as it was written
            case "list" | "dict" | "tuple" | "set" as name:
                origin: Any = NAMED_TYPES[name]
                return origin[parts]
        raise PlanFormatError(f"there is no type form {held['$form']!r}")


def _strings(held: Mapping[str, Any], *names: str) -> dict[str, str]:
    return {name: str(held[name]) for name in names}


def rows_of(text: str) -> pl.DataFrame:
    """The rows of an Arrow stream in base64, validated before polars sees them."""
    try:
        data = base64.b64decode(text, validate=True)
        return to_frame(read_table(data, most=most_unfolded(data)))
    except damage() as exc:
        raise PlanFormatError(f"the rows of the plan cannot be read: {type(exc).__name__}") from exc


def _datatype(name: str) -> Any:
    found = getattr(pl, name, None) if isinstance(name, str) and name.isidentifier() else None
    if not (isinstance(found, type) and issubclass(found, pl.DataType)):
        raise PlanFormatError(f"there is no polars type {name!r}")
    return found


def _timedelta(text: str) -> datetime.timedelta:
    days, seconds, microseconds = map(int, text.split())
    return datetime.timedelta(days, seconds, microseconds)


PLAIN: Mapping[str, Callable[[Any], Any]] = {
    "$float": float,
    "$bytes": lambda v: base64.b64decode(v, validate=True),
    "$date": datetime.date.fromisoformat,
    "$datetime": datetime.datetime.fromisoformat,
    "$timedelta": _timedelta,
    "$decimal": decimal.Decimal,
    "$pattern": lambda v: re.compile(str(v[0]), int(v[1])),
    "$path": pathlib.Path,
    "$expr": expressions.read,
    "$selector": lambda v: expressions.read(v).meta.as_selector(),
    "$rows": rows_of,
    "$series": lambda v: rows_of(v).to_series(),
    "$schema": lambda v: pl.Schema({str(name): expressions.type_read(t) for name, t in v}),
    "$dtype": expressions.type_read,
    "$dtype_class": _datatype,
    "$weights": lambda v: KeptWeights.elsewhere(str(v[0]), v[1] if isinstance(v[1], str) else dict(v[1]), v[2]),
    "$type": lambda v: NAMED_TYPES[v],
}
