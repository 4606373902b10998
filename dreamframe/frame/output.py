"""Verbs that run the plan, and ways to look at it without running."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from dreamframe.errors import SettingError
from dreamframe.frame.base import Verbs, whole
from dreamframe.hub.datasets import as_dataset
from dreamframe.models.habits import described
from dreamframe.plan.explain import plan_dot, plan_html, plan_text
from dreamframe.plan.optimizer.rules import optimise
from dreamframe.plan.secrets import plan_redactor
from dreamframe.plan.steps.algebra import relational
from dreamframe.redaction.visible import in_line, visible
from dreamframe.run.active import current
from dreamframe.run.options import Mode, Retry
from dreamframe.store.whole_files import whole_file

if TYPE_CHECKING:
    import datasets
    import pandas as pd
    import pyarrow as pa

    from dreamframe.hub.push import Published


class OutputVerbs(Verbs):
    """collect, write_*, to_*, explain, show."""

    __slots__ = ()

    # Running

    def collect(
        self, *, offline: bool | None = None, mode: Mode = "calls", retry: Retry | None = None, refresh: Sequence[str] = ()
    ) -> pl.DataFrame:
        """Run the plan and give its rows, in order, as a polars frame.

        Rows that are stored are read, answers that were paid for are reused, the rest is asked. With `offline=True` no call is made and missing
        answers raise OfflineError. With `mode="batch"` models whose providers have a batch API (OpenAI, Anthropic) are asked through it: at half the price,
        within a day. What was submitted is remembered in the session: a script that was stopped waits for it when it runs again, and only rows that
        failed or expired are submitted again.

        Kept answers are asked for again only when you say so: `refresh=["mood"]` asks all requests of the steps of these names (a step is called by its
        `name=`, else by its column); `retry="parse"` asks anew what was answered before and could not be read, `retry="all"` also what was refused or cut.
        The new answers count from then on, in every plan; stored rows that were made of the old ones are made again.

        Raises RowsFailedError where rows failed under on_error="raise", after everything else is done and kept.

        >>> dr.frame({"a": [1]}).collect().shape
        (1, 1)
        """
        return current(self.step).collect(self.step, offline=offline, mode=mode, retry=retry, refresh=refresh)

    def retry(self) -> pl.DataFrame:
        """Run the plan, and ask anew what was answered before and could not be read: `collect(retry="parse")`.

        >>> llm = dr.testing.Scripted(["no idea", "7"])
        >>> df = dr.frame({"t": ["tea"]}).prompt(llm, "Rate {t}", parse=lambda text: int(text), schema=int, on_error="null")
        >>> df.collect()["answer"].to_list(), df.retry()["answer"].to_list()
        ([None], [7])
        """
        return self.collect(retry="parse")

    async def collect_async(self, *, offline: bool | None = None) -> pl.DataFrame:
        """Run the plan without blocking the caller's event loop.

        >>> import asyncio
        >>> asyncio.run(dr.frame({"a": [1]}).collect_async()).shape
        (1, 1)
        """
        return await current(self.step).collect_async(self.step, offline=offline)

    def collect_batches(self) -> Iterator[pl.DataFrame]:
        """Run the plan and give its rows batch by batch as they become ready, in order; memory stays bounded by the rows in flight.

        >>> [b.height for b in dr.frame({"a": [1, 2]}).collect_batches()]
        [2]
        """
        return current(self.step).batches(self.step)

    def failures(self) -> pl.DataFrame:
        """The rows that failed when this plan last ran in this session: step, row, column, error, message, request, attempts, text.

        >>> df = dr.frame({"t": ["x"]}).prompt(dr.testing.Failing(), "{t}", on_error="null")
        >>> _ = df.collect()
        >>> df.failures().select("step", "row", "error").to_dicts()
        [{'step': 'answer', 'row': 0, 'error': 'BadRequestError'}]
        """
        return current(self.step).failures(self.step)

    # To other libraries

    def to_dicts(self) -> list[dict[str, Any]]:
        """Run and give a list of row dicts.

        >>> dr.frame({"a": [1]}).to_dicts()
        [{'a': 1}]
        """
        return self.collect().to_dicts()

    def to_arrow(self) -> pa.Table:
        """Run and give an Arrow table.

        >>> dr.frame({"a": [1]}).to_arrow().num_rows
        1
        """
        return self.collect().to_arrow()

    def to_pandas(self) -> pd.DataFrame:
        """Run and give a pandas frame. Needs pandas.

        >>> type(dr.frame({"a": [1]}).to_pandas()).__name__
        'DataFrame'
        """
        return self.collect().to_pandas()

    def to_hf_dataset(self) -> datasets.Dataset:
        """Run and give a Hugging Face `Dataset` over the same Arrow memory. Needs the extra `hub`.

        >>> dr.frame({"a": [1]}).to_hf_dataset().num_rows
        1
        """
        return as_dataset(self.collect())

    # To files

    def write_csv(self, path: str | Path, *, spreadsheet_safe: bool = False, **options: Any) -> None:
        """Run and write a CSV file, making its folder; options as polars' write_csv. An earlier file stays whole until this one is.

        A model's text that begins with =, +, -, @, a tab or a line break is a formula to a spreadsheet, which runs it. With `spreadsheet_safe=True` an
        apostrophe stands before such texts and names of columns, as OWASP advises (https://owasp.org/www-community/attacks/CSV_Injection).

        >>> dr.frame({"a": [1]}).write_csv("out/a.csv")
        >>> dr.scan_csv("out/a.csv").to_dicts()
        [{'a': 1}]
        """
        self._write("write_csv", path, options, made=spreadsheet_safely if spreadsheet_safe else None)

    def write_parquet(self, path: str | Path, **options: Any) -> None:
        """Run and write a Parquet file, making its folder; options as polars' write_parquet. An earlier file stays whole until this one is.

        >>> dr.frame({"a": [1]}).write_parquet("a.parquet")
        >>> dr.scan_parquet("a.parquet").to_dicts()
        [{'a': 1}]
        """
        self._write("write_parquet", path, options)

    def write_ndjson(self, path: str | Path) -> None:
        """Run and write one JSON object a line, making the folder. An earlier file stays whole until this one is.

        >>> dr.frame({"a": [1]}).write_ndjson("a.ndjson")
        >>> dr.scan_ndjson("a.ndjson").to_dicts()
        [{'a': 1}]
        """
        self._write("write_ndjson", path, {})

    def write_json(self, path: str | Path) -> None:
        """Run and write a JSON array of row objects, making the folder. An earlier file stays whole until this one is.

        >>> dr.frame({"a": [1]}).write_json("a.json")
        >>> dr.scan_json("a.json").to_dicts()
        [{'a': 1}]
        """
        self._write("write_json", path, {})

    def _write(self, method: str, path: str | Path, options: dict[str, Any], *, made: Callable[[pl.DataFrame], pl.DataFrame] | None = None) -> None:
        """Run and write a file that is there wholly or as it was before, whatever stops the writing."""
        rows = self.collect() if made is None else made(self.collect())
        write = getattr(rows, method)
        if "://" in str(path) or options.get("partition_by") is not None:  # an address, which polars knows to reach; a folder of many files
            write(path, **options)
            return
        target = Path(path).expanduser()
        target.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(target) as beside:
            write(beside, **options)

    # Looking

    @property
    def schema(self) -> pl.Schema:
        """Names and types of the columns; nothing is run.

        >>> dr.frame({"a": [1]}).schema
        Schema([('a', Int64)])
        """
        return self.step.schema

    @property
    def columns(self) -> list[str]:
        """Names of the columns.

        >>> dr.frame({"a": [1]}).columns
        ['a']
        """
        return self.step.schema.names()

    def explain(self, *, optimized: bool = True) -> str:
        """The plan as text, the last step first; with `optimized=False`, as it was written. Of models that are not at their
        provider's own address it names the address, of files and weights the whole path. For a plan that was read no file is looked at.

        >>> print(dr.frame({"a": [1]}).filter(pl.col("a") > 0).explain())
        FILTER [[(col("a")) > (dyn int: 0)]]
          TABLE 1 rows
        """
        if optimized and any(step.authority is not None for step in self.step.walk()):
            return plan_text(optimise([self.step]).plans[0])
        return plan_text(current(self.step).planned(self.step) if optimized else self.step)

    def to_json(self) -> str:
        """The plan as text, with the rows of tables in memory; files are named. `dr.from_json` reads it. Keys are not in it.

        Functions of yours are named and fingerprinted, not written. Raises PlanFormatError for what cannot be: a Python function inside a polars
        expression (use `df.map`), an expression of more than some sixty operations one in another.

        >>> text = dr.frame({"a": [1, 2]}).filter(pl.col("a") > 1).to_json()
        >>> dr.from_json(text).to_dicts()
        [{'a': 2}]
        """
        from dreamframe.plan.json.text import to_json

        return to_json(self.step)

    def card(self, repo: str | None = None) -> str:
        """README.md of these rows, with YAML front matter for the Hub: how they were made, of what, under which licences, at what cost. Runs nothing.

        Before a run it says what is planned; after a run, what the active session has on record.

        >>> print(dr.frame({"a": [1]}).card("me/ones").split("---")[1].strip())
        pretty_name: ones
        size_categories:
        - "n<1K"
        tags:
        - dreamframe
        """
        return current(self.step).card(self.step, repo=repo)

    def push_to_hub(
        self,
        repo: str,
        *,
        private: bool = False,
        splits: Mapping[str, Any] | None = None,
        card: bool = True,
        branch: str | None = None,
        dry_run: bool = False,
        token: str | None = None,
    ) -> Published:
        """Run, and publish the rows as a data set of the Hub: Parquet shards and, with `card`, the README of `df.card`.

        `splits` names shares, like `{"train": 0.9, "test": 0.1}` (drawn as by `df.split` with seed 0), or frames that stand beside one another; without,
        all rows are "train". One commit makes the repository hold these rows; pushing them again makes none, and shards of an earlier push go. A push
        that is killed leaves the repository as it was. With `dry_run` nothing is sent: the result lists what would be.

        The token is `token` or what `hf auth login` or HF_TOKEN set. Raises MissingExtraError without huggingface_hub, HubError for what the Hub refuses.

        >>> dr.frame({"a": [1, 2]}).push_to_hub("me/ones", dry_run=True).written
        ('README.md', 'data/train-00000-of-00001.parquet')
        """
        from dreamframe.hub import push as publish

        made = publish.named_splits(self, splits)
        rows = {name: frame.collect() for name, frame in made.items()}
        files = publish.dataset_files(rows, self.card(repo) if card else None)
        what = "Upload rows made with dreamframe"
        return publish.push(files, repo, kind="dataset", private=private, branch=branch, token=token, dry_run=dry_run, message=what)

    def show_graph(self) -> str:
        """The plan in Graphviz' DOT language.

        >>> dr.frame({"a": [1]}).show_graph().splitlines()[0]
        'digraph plan {'
        """
        return plan_dot(self.step)

    def show(self, n: int = 5) -> None:
        """Run for the first n rows and print them. Over prompts, only these n rows are asked.

        >>> dr.frame({"a": [1, 2]}).show(1)
        shape: (1, 1)
        ┌─────┐
        │ a   │
        │ --- │
        │ i64 │
        ╞═════╡
        │ 1   │
        └─────┘
        """
        print(visible(str(self.preview(n))))

    def preview(self, n: int = 5) -> pl.DataFrame:
        """Run for the first n rows and give them. Over prompts, only these n rows are asked.

        >>> dr.frame({"a": [1, 2]}).preview(1).to_dicts()
        [{'a': 1}]
        """
        return current(self.step).collect(relational("head", inputs=(self.step,), args=(whole(n, "n", verb="preview"),)))

    def __repr__(self) -> str:
        columns = in_line(plan_redactor([self.step]).text(", ".join(f"{name}: {dtype}" for name, dtype in self.schema.items())))
        return f"dreamframe [{columns}]\n{plan_text(self.step)}\n(lazy: .collect() runs it, .show() looks at some rows)"

    def _repr_html_(self) -> str:
        return plan_html(self.step)


FORMULA = r"^\s*[=+\-@\x{FF1D}\x{FF0B}\x{FF0D}\x{FF20}]|^[\t\r\n]"  # the last four are their full-width forms, which some spreadsheets read as well


def spreadsheet_safely(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows with an apostrophe before every text, label and column name that a spreadsheet would run."""
    texts = [name for name, dtype in rows.schema.items() if dtype in (pl.String, pl.Categorical, pl.Enum)]
    as_text = [pl.col(name).cast(pl.String) for name in texts]
    safe = rows.with_columns(pl.when(text.str.contains(FORMULA)).then("'" + text).otherwise(text).alias(n) for n, text in zip(texts, as_text, strict=True))
    is_formula = pl.Series(rows.columns, dtype=pl.String).str.contains(FORMULA).to_list()
    return safe.rename({name: f"'{name}" for name, bad in zip(rows.columns, is_formula, strict=True) if bad})


def collect_all(frames: Iterable[OutputVerbs]) -> list[pl.DataFrame]:
    """Run several plans as one: what they share is computed and asked once.

    >>> a = dr.frame({"a": [1]})
    >>> [f.height for f in dr.collect_all([a, a.head(0)])]
    [1, 0]
    """
    if isinstance(frames, OutputVerbs | Mapping) or not isinstance(frames, Iterable):
        raise SettingError(f"collect_all: {described(frames)} is not a list of frames; write dr.collect_all([one, other]), or df.collect() for one.")
    given = list(frames)
    if wrong := [f for f in given if not isinstance(f, OutputVerbs)]:
        raise SettingError(f"collect_all: {described(wrong[0])} is among the frames; make it a frame first with dr.frame(...).")
    return current(*(f.step for f in given)).collect_all([f.step for f in given]) if given else []


