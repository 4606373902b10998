"""Verbs that run the plan, and ways to look at it without running."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import polars as pl

from dreamframe.arrow import shared
from dreamframe.errors import SettingError, one_of
from dreamframe.frame.base import Verbs, whole
from dreamframe.hub.datasets import as_dataset
from dreamframe.hub.tables import as_pandas
from dreamframe.models.habits import described
from dreamframe.plan.estimate import Estimate
from dreamframe.plan.explain import plan_dot, plan_html, plan_text, rules_text
from dreamframe.plan.optimizer.rules import Optimize, optimise
from dreamframe.plan.picture import plan_svg
from dreamframe.plan.secrets import plan_redactor
from dreamframe.plan.step import ModelStep
from dreamframe.plan.steps.ailing import said
from dreamframe.plan.steps.algebra import relational
from dreamframe.redaction.visible import in_line, visible
from dreamframe.run.active import current
from dreamframe.run.confirm import need_confirmed
from dreamframe.run.options import Mode, Retry
from dreamframe.run.ready import need

if TYPE_CHECKING:
    import datasets
    import pandas as pd
    import pyarrow as pa

    from dreamframe.hub.push import Published


class OutputVerbs(Verbs):
    """collect, to_*, explain, show."""

    __slots__ = ()

    # Running

    def collect(
        self,
        *,
        offline: bool | None = None,
        mode: Mode = "calls",
        retry: Retry | None = None,
        refresh: Sequence[str] = (),
        optimize: Optimize = True,
        confirm: float | None = None,
    ) -> pl.DataFrame:
        """Run the plan and give its rows, in order, as a polars frame.

        Rows that are stored are read, answers that were paid for are reused, the rest is asked. With `offline=True` no call is made and missing
        answers raise OfflineError. With `mode="batch"` models whose providers have a batch API (OpenAI, Anthropic) are asked through it: at half the price,
        within a day. What was submitted is remembered in the session: a script that was stopped waits for it when it runs again, and only rows that
        failed or expired are submitted again.

        Kept answers are asked for again only when you say so: `refresh=["mood"]` asks all requests of the steps of these names (a step is called by its
        `name=`, else by its column); `retry="parse"` asks anew what was answered before and could not be read, `retry="all"` also what was refused or cut.
        The new answers count from then on, in every plan; stored rows that were made of the old ones are made again.

        A plan is optimised before it runs: it asks about no row that nobody reads, and gives the rows, order and samples of the plan as it is written.
        `optimize=False` runs it as it is written, `optimize={"limit_down": False}` without one rule; `explain(rules=True)` names those that were used.

        With `confirm=5.0` the plan is estimated first, as by `estimate()`: where it may cost more than 5 US dollars, a person on the terminal is asked;
        without one, BudgetExceededError tells the estimate, before anything is spent.

        Raises RowsFailedError where rows failed under on_error="raise", after everything else is done and kept.

        >>> dr.frame({"a": [1]}).collect().shape
        (1, 1)
        """
        session = current(self.step)
        need_confirmed(lambda: session.estimate(self.step, mode=mode, optimize=optimize).estimate, confirm)
        return session.collect(self.step, offline=offline, mode=mode, retry=retry, refresh=refresh, optimize=optimize)

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
        """The rows that failed when this plan last ran in this session: step, row, column, error, message, request, attempts, answer (what the model or
        the server said), and the frame's own columns as they were where it failed; one that is called like those before it ends in `_right`.

        The rows are made again out of kept answers, and functions of yours called for them; nothing is asked.
        Raises SettingError where it has not run: nobody knows yet.

        >>> df = dr.frame({"t": ["x"]}).prompt(dr.testing.Failing(), "{t}", on_error="null")
        >>> _ = df.collect()
        >>> df.failures().select("step", "row", "error", "t").to_dicts()
        [{'step': 'answer', 'row': 0, 'error': 'BadRequestError', 't': 'x'}]
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
        """Run and give an Arrow table. Integers of 128 bits, which Arrow has not, are texts in it.

        >>> dr.frame({"a": [1]}).to_arrow().num_rows
        1
        """
        return shared(self.collect()).to_arrow()

    def to_pandas(self, **options: Any) -> pd.DataFrame:
        """Run and give a pandas frame; options as polars' to_pandas. Raises MissingExtraError without pandas, before anything is run.

        Whole numbers and truth values of which some are null are of pandas' types that have nulls (Int64, boolean): as floats, large ones would change.

        >>> type(dr.frame({"a": [1]}).to_pandas()).__name__
        'DataFrame'
        """
        need("pandas", needed_for="to_pandas")
        made: pd.DataFrame = as_pandas(shared(self.collect()), **options)
        return made

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Run, and hand the rows to any library that reads Arrow: `pl.DataFrame(df)`, `pyarrow.table(df)`, DuckDB, …"""
        return shared(self.collect()).__arrow_c_stream__(requested_schema)

    def lazy(self) -> pl.LazyFrame:
        """Give a lazy polars frame that runs this plan when it is collected, in the session that is active now.

        A `head` over it asks only about the rows that it needs.

        >>> dr.frame({"a": [1, 2]}).lazy().select(pl.col("a").sum()).collect().to_dicts()
        [{'a': 3}]
        """
        from polars.io.plugins import register_io_source

        session = current(self.step)

        def batches(columns: list[str] | None, predicate: pl.Expr | None, n_rows: int | None, _: int | None) -> Iterator[pl.DataFrame]:
            plan = self.step if n_rows is None or predicate is not None else relational("head", inputs=(self.step,), args=(n_rows,))
            left = n_rows
            for batch in session.batches(plan):
                rows = batch if predicate is None else batch.filter(predicate)
                rows = rows if left is None else rows.head(left)
                left = None if left is None else left - rows.height
                yield rows if columns is None else rows.select(columns)
                if left == 0:
                    return

        return register_io_source(batches, schema=self.schema, is_pure=True)

    def describe(self, percentiles: Sequence[float] | float | None = (0.25, 0.5, 0.75), *, interpolation: str = "nearest") -> pl.DataFrame:
        """Run and give counts, nulls, mean, spread and percentiles of each column, as polars' describe. Raises SettingError for what it cannot take.

        >>> dr.frame({"a": [1, 3]}).describe().filter(statistic="mean").to_dicts()
        [{'statistic': 'mean', 'a': 2.0}]
        """
        try:  # on no rows, before any is paid for
            pl.DataFrame(schema=self.schema).describe(percentiles, interpolation=interpolation)  # type: ignore[arg-type]
        except (TypeError, ValueError, pl.exceptions.PolarsError) as exc:
            raise SettingError(f"describe: {said(exc)}.") from exc
        return self.collect().describe(percentiles, interpolation=interpolation)  # type: ignore[arg-type]

    def collect_schema(self) -> pl.Schema:
        """Names and types of the columns, as `schema`; nothing is run.

        >>> dr.frame({"a": [1]}).collect_schema()
        Schema([('a', Int64)])
        """
        return self.step.schema

    def to_hf_dataset(self) -> datasets.Dataset:
        """Run and give a Hugging Face `Dataset` over the same Arrow memory. Needs the extra `hub`.

        >>> dr.frame({"a": [1]}).to_hf_dataset().num_rows
        1
        """
        need("datasets", needed_for="to_hf_dataset", extra="hub")
        return as_dataset(self.collect())

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

    def explain(self, *, optimized: bool = True, rules: bool = False, cost: bool = False) -> str:
        """The plan as text as it will run, the last step first; with `optimized=False`, as it was written; with `rules=True`, also what each rule did.
        With `cost=True`, also what each step would ask and cost now, as `estimate()` finds it: nothing is asked, files and kept answers are read.

        Of models that are not at their provider's own address it names the address, of files and weights the whole path. For a plan that was read no
        file is looked at.

        >>> print(dr.frame({"a": [1]}).filter(pl.col("a") > 0).explain())
        FILTER [[(col("a")) > (dyn int: 0)]]
          TABLE 1 rows
        """
        if cost:
            looked = current(self.step).estimate(self.step, optimize=optimized)
            return looked.explain() + (f"\n\n{rules_text(optimise([self.step]).trace)}" if rules and optimized else "")
        if not optimized:
            return plan_text(self.step)
        is_read = any(step.authority is not None for step in self.step.walk())
        made = optimise([self.step]) if is_read else current(self.step).optimised(self.step)
        return plan_text(made.plans[0]) + (f"\n\n{rules_text(made.trace)}" if rules else "")

    def estimate(self, *, probe: int = 0, mode: Mode = "calls") -> Estimate:
        """What is left to pay when this plan is collected now: calls, tokens, US dollars as a range, seconds; in all and step by step.

        Nothing is asked, unless `probe` says how many rows of each step may be: they are asked and kept, so that the length of answers and the part of
        the rows that pass a filter are known; the figures are then of the rest. The plan is run as far as it goes with kept answers, functions of yours
        too; in the place of an answer that is not there stands a kept one to the same question. `mode="batch"` counts what batches cost.

        Prices are list prices and `dr.Session(prices=)`; where one is not known, `cost` is None. Raises OfflineError for probes of an offline session.

        >>> with dr.Session(None):
        ...     found = dr.frame({"t": ["tea", "jam", "rye"]}).prompt(dr.testing.Echo(), "Say {t}", into="said").estimate(probe=2)
        >>> found.calls, found.steps[0].state
        (1, '2 of 3 kept, 1 to ask')
        """
        if isinstance(probe, bool) or not isinstance(probe, int) or probe < 0:
            raise SettingError(f"estimate: probe={described(probe)} is not a number of rows; give 0 (ask nothing) or more, as probe=20.")
        return current(self.step).estimate(self.step, probe=probe, mode=mode).estimate

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
        plan: bool = True,
        branch: str | None = None,
        dry_run: bool = False,
        token: str | None = None,
    ) -> Published:
        """Run, and publish the rows as a data set of the Hub: Parquet shards, with `card` the README of `df.card`, and with `plan` the plan as
        dreamframe.json, which `dr.from_hub` reads: without the rows that it began with, without keys, and with the script where the session keeps it.

        `splits` names shares, like `{"train": 0.9, "test": 0.1}` (drawn as by `df.split` with seed 0), or frames that stand beside one another; without,
        all rows are "train"; all splits have the same columns. One commit makes the repository hold these rows; pushing them again makes none,
        and shards of an earlier push go. What others wrote into the README stays: one marked section is written anew. A push that
        is killed leaves the repository as it was. With `dry_run` nothing is sent: the result lists what would be.

        The token is `token` or what `hf auth login` or HF_TOKEN set. Raises MissingExtraError without huggingface_hub, HubError for what the Hub refuses.

        >>> dr.frame({"a": [1, 2]}).push_to_hub("me/ones", dry_run=True).written
        ('README.md', 'data/train-00000-of-00001.parquet', 'dreamframe.json')
        """
        from dreamframe.hub import push as publish

        if not dry_run:
            need("huggingface_hub", needed_for="push_to_hub", extra="hub")
        made = publish.named_splits(self, splits)
        publish.same_columns({name: frame.schema for name, frame in made.items()})
        rows = {name: frame.collect() for name, frame in made.items()}
        n_rows = sum(part.height for part in rows.values())
        files = publish.dataset_files(rows, current(self.step).card(self.step, repo=repo, n_rows=n_rows) if card else None)
        beside = current(self.step).published(self.step) if plan else {}
        what = "Upload rows made with dreamframe"
        return publish.push({**files, **beside}, repo, kind="dataset", private=private, branch=branch, token=token, dry_run=dry_run, message=what)

    def show_graph(self, *, format: Literal["dot", "svg"] = "dot") -> str:
        """The plan in Graphviz' DOT language; with `format="svg"`, as a picture that needs no Graphviz.

        >>> dr.frame({"a": [1]}).show_graph().splitlines()[0]
        'digraph plan {'
        """
        one_of(format, ("dot", "svg"), "format", where="show_graph")
        return plan_svg(self.step) if format == "svg" else plan_dot(self.step)

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


def collect_all(frames: Iterable[OutputVerbs]) -> list[pl.DataFrame]:
    """Run several plans as one: what they share is computed and asked once.

    >>> a = dr.frame({"a": [1]})
    >>> [f.height for f in dr.collect_all([a, a.head(0)])]
    [1, 0]
    """
    if isinstance(frames, OutputVerbs | Mapping) or not isinstance(frames, Iterable):
        raise SettingError(f"collect_all: {described(frames)} is not a list of frames; write dr.collect_all([one, other]), or df.collect() for one.")
    given = list(frames)
    for i, frame in enumerate(given):
        if isinstance(getattr(frame, "step", None), ModelStep):
            raise SettingError(
                f"collect_all: number {i} is a model, which has no rows: model.fit() trains it. A frame that asks it (df.prompt(model.llm(), …)) trains it too."
            )
    if wrong := [f for f in given if not isinstance(f, OutputVerbs)]:
        raise SettingError(f"collect_all: {described(wrong[0])} is among the frames; make it a frame first with dr.frame(...).")
    return current(*(f.step for f in given)).collect_all([f.step for f in given]) if given else []


