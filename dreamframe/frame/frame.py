"""The frame, and every way to make one."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import IO, Any, get_args

import polars as pl

from dreamframe.errors import PlanError, SettingError, TemplateError, listed, one_of
from dreamframe.frame.arguments import need_order
from dreamframe.frame.base import whole
from dreamframe.frame.best_worst import BestWorstVerbs
from dreamframe.frame.calibrate import CalibrateVerbs
from dreamframe.frame.checking import CheckingVerbs
from dreamframe.frame.cite import CiteVerbs
from dreamframe.frame.compare_models import CompareVerbs
from dreamframe.frame.concat import ConcatHow, need_alike
from dreamframe.frame.converse import ConverseVerbs
from dreamframe.frame.elsewhere import is_elsewhere, local_path, read_elsewhere
from dreamframe.frame.evaluate import EvaluateVerbs
from dreamframe.frame.join_by import MeaningVerbs
from dreamframe.frame.judge import JudgeVerbs
from dreamframe.frame.model import Model
from dreamframe.frame.plan_warnings import warn_of_copies
from dreamframe.frame.rows import RowVerbs
from dreamframe.frame.summary import SummaryVerbs
from dreamframe.frame.train import TrainVerbs
from dreamframe.frame.tune import TuneVerbs
from dreamframe.frame.until import UntilVerbs
from dreamframe.frame.vectors import VectorVerbs
from dreamframe.frame.why import WhyVerbs
from dreamframe.frame.write import WriteVerbs
from dreamframe.hub.tables import rows_of
from dreamframe.identity.owned import own
from dreamframe.models.base import LLM
from dreamframe.models.habits import described
from dreamframe.plan.hidden import SAMPLE
from dreamframe.plan.steps.algebra import relational
from dreamframe.plan.steps.prompt import PromptStep
from dreamframe.plan.steps.relational import RepeatTo
from dreamframe.plan.steps.scanners import options_of
from dreamframe.plan.steps.source import Scan, Table
from dreamframe.prompts.base import Prompt

Source = str | os.PathLike[str] | bytes | IO[bytes] | IO[str]  # of a scan: a path, a glob, a folder or an address; what a file holds; an open file


class Frame(
    EvaluateVerbs, CompareVerbs, TuneVerbs, MeaningVerbs, UntilVerbs, RowVerbs, SummaryVerbs, JudgeVerbs, CalibrateVerbs, CheckingVerbs, ConverseVerbs,
    VectorVerbs, TrainVerbs, CiteVerbs, WhyVerbs, WriteVerbs, BestWorstVerbs
):
    """A lazy, immutable dataframe whose columns may be written by language models.

    Make one with `dr.frame`, `dr.scan_csv` and the like; every verb gives a new frame; `.collect()` runs the plan.

    >>> df = dr.frame({"a": [1, 2]}).filter(pl.col("a") > 1)
    >>> print(df)
    dreamframe [a: Int64]
    FILTER [[(col("a")) > (dyn int: 1)]]
      TABLE 2 rows
    (lazy: .collect() runs it, .show() looks at some rows)
    """

    __slots__ = ()


def frame(data: Any, *, schema: Any = None) -> Frame:
    """Make a frame of rows in memory: a dict of columns, a list of dicts, an iterator of dicts, a polars (lazy) frame, a pandas frame or series, an
    Arrow table or a Hugging Face `Dataset`. `schema` fixes types as in polars.

    The rows are those of this moment: they are copied, so that what becomes of an array, a table or a mapped file afterwards changes no plan. Labels of
    a `ClassLabel` are their names. Of a pandas frame an index with a name, or of anything but numbers, becomes columns, as by `reset_index()`.

    Raises PlanError for anything else.

    >>> dr.frame([{"a": 1}, {"a": 2}]).columns
    ['a']
    """
    if isinstance(data, Frame):
        return data
    return Frame(Table(data=rows_of(data, schema)))


def _scan(format: str, source: Any, options: Mapping[str, Any]) -> Frame:
    if unknown := [name for name in options if name not in options_of(format)]:
        raise SettingError.unknown(unknown[0], possible=options_of(format), where=f"scan_{format}")
    paths = [source] if isinstance(source, (str, os.PathLike, bytes, bytearray, memoryview)) or hasattr(source, "read") else source
    if not isinstance(paths, Iterable) or isinstance(source, Frame | Mapping | pl.DataFrame):
        raise PlanError(f"scan_{format}: {described(source)} is not the path of a file. Rows that are in memory: dr.frame(...).")
    given = [local_path(p) for p in (sorted(paths, key=str) if isinstance(paths, (set, frozenset)) else paths)]
    if any(is_elsewhere(p) for p in given):
        return Frame(read_elsewhere(format, given, options))
    if wrong := [p for p in given if not isinstance(p, str)]:
        raise PlanError(f"scan_{format}: {wrong[0]!r} is not the path of a file.")
    return Frame(Scan(format=format, paths=tuple(given), options=own(tuple(sorted(options.items())))))


def scan_csv(source: Source | Sequence[Source], **options: Any) -> Frame:
    """Read CSV files lazily: a path, a glob or a folder (files sorted by name), or a list. Options as polars' scan_csv.

    The plan is keyed by the files' content: an edited file is read again, a touched or moved one is not, unless `include_file_paths=` or partitions of
    folders put its path into the rows. What is not on this disk is read now and whole, and keyed by its rows: an address (http, https, s3, gs, az, hf;
    a public one, or with polars' `storage_options=`), bytes, an open file.

    Raises PlanError where there is no file, or one that cannot be read; SettingError for an option that polars' reader does not have; OfflineError for an
    address in an offline session.

    >>> pl.DataFrame({"a": [1]}).write_csv("rows.csv")
    >>> dr.scan_csv("rows.csv").to_dicts()
    [{'a': 1}]
    """
    return _scan("csv", source, options)


def scan_parquet(source: Source | Sequence[Source], **options: Any) -> Frame:
    """Read Parquet files lazily; sources as in `scan_csv`. Options as polars' scan_parquet; the `key=value` of a folder's own folders are columns.

    >>> pl.DataFrame({"a": [1]}).write_parquet("rows.parquet")
    >>> dr.scan_parquet("*.parquet").to_dicts()
    [{'a': 1}]
    """
    return _scan("parquet", source, options)


def scan_ndjson(source: Source | Sequence[Source], **options: Any) -> Frame:
    """Read files of one JSON object a line lazily; sources as in `scan_csv`, options as polars' scan_ndjson.

    Columns are found in all lines of all files, unless `schema=` or `infer_schema_length=` is given.

    >>> pl.DataFrame({"a": [1]}).write_ndjson("rows.ndjson")
    >>> dr.scan_ndjson("rows.ndjson").to_dicts()
    [{'a': 1}]
    """
    return _scan("ndjson", source, options)


def scan_json(source: Source | Sequence[Source], **options: Any) -> Frame:
    """Read files that hold a JSON array of objects; sources as in `scan_csv`, options as polars' read_json. Columns are found in all rows.

    `field` names where in an object the array stands: `{"data": […]}` is read with `field="data"`.

    >>> pl.DataFrame({"a": [1]}).write_json("rows.json")
    >>> dr.scan_json("rows.json").to_dicts()
    [{'a': 1}]
    """
    return _scan("json", source, options)


def scan_text(source: Source | Sequence[Source], **options: Any) -> Frame:
    """Read text files lazily, one row a line, in a column `text`; sources as in `scan_csv`. The byte order mark that a file may begin with is left out.

    >>> with open("rows.txt", "w") as file:
    ...     _ = file.write("green tea\\nrain\\n")
    >>> dr.scan_text("rows.txt").to_dicts()
    [{'text': 'green tea'}, {'text': 'rain'}]
    """
    return _scan("text", source, options)


def scan_ipc(source: Source | Sequence[Source], **options: Any) -> Frame:
    """Read Arrow IPC (Feather v2) files lazily; sources as in `scan_csv`, options as polars' scan_ipc.

    >>> pl.DataFrame({"a": [1]}).write_ipc("rows.arrow")
    >>> dr.scan_ipc("rows.arrow").to_dicts()
    [{'a': 1}]
    """
    return _scan("ipc", source, options)


def grid(attributes: Mapping[str, Iterable[Any]]) -> Frame:
    """Every combination of the attributes' values: the first attribute varies slowest.

    >>> dr.grid({"topic": ["tea", "rain"], "level": [1, 2]}).to_dicts()[1]
    {'topic': 'tea', 'level': 2}
    """
    if not isinstance(attributes, Mapping):
        raise SettingError(f"grid: {described(attributes)} is not a dict of attributes; write dr.grid({{'topic': ['tea', 'rain'], 'level': [1, 2]}}).")
    if text := next((name for name, values in attributes.items() if isinstance(values, str)), None):
        raise SettingError(f"grid: {text!r} has one text, whose letters would be its values; give a list: {{{text!r}: [{attributes[text]!r}]}}.")
    if not attributes:
        raise SettingError("grid: give at least one attribute, e.g. dr.grid({'topic': ['tea', 'rain']}).")
    names, values = list(attributes), [list(v) for v in attributes.values()]
    columns: list[tuple[Any, ...]] = list(zip(*itertools.product(*values), strict=True)) or [()] * len(names)
    types = [pl.Series(v).dtype for v in values]
    return Frame(Table(data=pl.DataFrame([pl.Series(n, c, dtype=t) for n, c, t in zip(names, columns, types, strict=True)])))


def generate(llm: LLM | Model | str, prompt: str | Prompt, *, n: int, into: str = "text", **settings: Any) -> Frame:
    """Ask one prompt n times: a row for each sample. Settings as in `df.prompt`.

    Asking for more later keeps the samples there are: n=5 then n=8 makes three calls.

    >>> dr.generate(dr.testing.Echo(), "Write a haiku.", n=2).to_dicts()
    [{'text': 'Write a haiku.'}, {'text': 'Write a haiku.'}]
    """
    need_order("generate", llm, prompt)
    n = whole(n, "n", verb="generate")
    if read := Prompt.of(prompt, step=settings.get("name") or "generate").columns:
        raise TemplateError(
            f"{settings.get('name') or 'generate'}: the prompt reads {listed(read)}, and here are no rows to read from. A prompt for each of several values: "
            f"dr.grid({{{read[0]!r}: [...]}}).prompt(llm, ...). A brace itself is written {{{{ or }}}}."
        )
    samples = Frame(RepeatTo(inputs=(Table(data=pl.DataFrame({SAMPLE: [0]}), name="generate"),), n=n, name="generate"))  # a source that can grow: see until
    asked = samples.prompt(llm, prompt, into=into, **settings)
    if isinstance(asked.step, PromptStep):
        warn_of_copies(asked.step, n, step="generate")
    return asked._relational("drop", SAMPLE, strict=True, named="generate")


def concat(frames: Iterable[Frame], *, how: ConcatHow = "vertical", rechunk: bool = False) -> Frame:  # noqa: ARG001  polars' own
    """Put frames together: "vertical" (rows below rows), "horizontal" (columns side by side) or "diagonal" (missing columns are null); with "_relaxed" at
    the end, types are widened until they agree. Frames side by side have as many rows each; with "horizontal_extend" nulls fill up the
    shorter ones. `rechunk` changes no row.

    `how` may also be any other word of polars' concat, e.g. "vertical_relaxed" for columns of unlike numbers. Raises SchemaError where columns do not fit.

    >>> dr.concat([dr.frame({"a": [1]}), dr.frame({"a": [2]})]).to_dicts()
    [{'a': 1}, {'a': 2}]
    """
    if isinstance(frames, Frame):
        raise SettingError("concat: one frame is given; write dr.concat([one, other]), a list of them.")
    given = list(frames)
    if not given:
        raise PlanError("concat: there is nothing to put together; pass at least one frame.")
    if wrong := [f for f in given if not isinstance(f, Frame)]:
        raise SettingError(f"concat: {described(wrong[0])} is among the frames; make it a frame first with dr.frame(...).")
    one_of(how, get_args(ConcatHow), "how", where="concat")
    need_alike([f.schema for f in given], how)
    return Frame(relational("concat", inputs=tuple(f.step for f in given), options=(("how", how),)))
