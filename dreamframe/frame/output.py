"""Verbs that run the plan, and hand its rows over."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import polars as pl

from dreamframe.errors import SettingError
from dreamframe.frame.look import LookVerbs
from dreamframe.hub.tables import as_pandas
from dreamframe.identity.arrow import shared
from dreamframe.models.habits import described
from dreamframe.plan.optimizer.choice import Optimize
from dreamframe.plan.step import ModelStep
from dreamframe.plan.steps.ailing import said
from dreamframe.plan.steps.algebra import relational
from dreamframe.run.active import current
from dreamframe.run.confirm import need_confirmed
from dreamframe.run.options import Mode, Retry, check_retry
from dreamframe.run.ready import need

if TYPE_CHECKING:
    import datasets
    import pandas as pd
    import pyarrow as pa

    from dreamframe.hub.push import Published


class OutputVerbs(LookVerbs):
    """collect, to_*, push_to_hub."""

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
        without one, BudgetExceededError tells the estimate, before anything is spent. All verbs that run a plan take it.

        Raises RowsFailedError where rows failed under on_error="raise", after everything else is done and kept.

        >>> dr.frame({"a": [1]}).collect().shape
        (1, 1)
        """
        self._confirmed("collect", confirm, mode=mode, optimize=optimize, retry=check_retry(retry), refresh=refresh)
        return current(self.step).collect(self.step, offline=offline, mode=mode, retry=retry, refresh=refresh, optimize=optimize)

    def retry(self) -> pl.DataFrame:
        """Run the plan, and ask anew what was answered before and could not be read: `collect(retry="parse")`.

        >>> llm = dr.testing.Scripted(["no idea", "7"])
        >>> df = dr.frame({"t": ["tea"]}).prompt(llm, "Rate {t}", parse=lambda text: int(text), schema=int, on_error="null")
        >>> df.collect()["answer"].to_list(), df.retry()["answer"].to_list()
        ([None], [7])
        """
        return self.collect(retry="parse")

    async def collect_async(self, *, offline: bool | None = None, optimize: Optimize = True, confirm: float | None = None) -> pl.DataFrame:
        """Run the plan without blocking the caller's event loop; arguments as of `collect`.

        >>> import asyncio
        >>> asyncio.run(dr.frame({"a": [1]}).collect_async()).shape
        (1, 1)
        """
        import asyncio

        if confirm is not None:
            await asyncio.to_thread(self._confirmed, "collect_async", confirm, optimize=optimize)
        return await current(self.step).collect_async(self.step, offline=offline, optimize=optimize)

    def collect_batches(self, *, optimize: Optimize = True, confirm: float | None = None) -> Iterator[pl.DataFrame]:
        """Run the plan and give its rows batch by batch as they become ready, in order; memory stays bounded by the rows in flight. Arguments as of
        `collect`.

        >>> [b.height for b in dr.frame({"a": [1, 2]}).collect_batches()]
        [2]
        """
        self._confirmed("collect_batches", confirm, optimize=optimize)
        return current(self.step).batches(self.step, optimize=optimize)

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

    def to_hf_dataset(self) -> datasets.Dataset:
        """Run and give a Hugging Face `Dataset` over the same Arrow memory. Needs the extra `hub`.

        >>> dr.frame({"a": [1]}).to_hf_dataset().num_rows
        1
        """
        need("datasets", needed_for="to_hf_dataset", extra="hub")
        from dreamframe.hub.datasets import as_dataset

        return as_dataset(self.collect())

    # Publishing

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
        is_ours = all(isinstance(frame, OutputVerbs) for frame in made.values())
        parts = collect_all(made.values()) if is_ours else [frame.collect() for frame in made.values()]  # in one run: what the splits share is asked whole
        rows = dict(zip(made, parts, strict=True))
        n_rows = sum(part.height for part in rows.values())
        files = publish.dataset_files(rows, current(self.step).card(self.step, repo=repo, n_rows=n_rows) if card else None)
        beside = current(self.step).published(self.step) if plan else {}
        what = "Upload rows made with dreamframe"
        return publish.push({**files, **beside}, repo, kind="dataset", private=private, branch=branch, token=token, dry_run=dry_run, message=what)


def collect_all(frames: Iterable[OutputVerbs], *, optimize: Optimize = True, confirm: float | None = None) -> list[pl.DataFrame]:
    """Run several plans as one: what they share is computed and asked once. `optimize` and `confirm` as of `df.collect`, for all of them together.

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
    if not given:
        return []
    plans = [f.step for f in given]
    session = current(*plans)
    need_confirmed(lambda: session.estimate(*plans, optimize=optimize), confirm, where="collect_all")
    return session.collect_all(plans, optimize=optimize)
