"""A cheap model decides the rows where that is certified, the strong one the others: the certificate, and the prompt that keeps to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, fields, replace
from typing import Any, ClassVar

import polars as pl

from dreamframe.errors import BudgetExceededError, OfflineError, SettingError
from dreamframe.measure.certify import Certifier
from dreamframe.measure.promise import Promise
from dreamframe.models.habits import Settings
from dreamframe.models.request import Failure, RowContext
from dreamframe.plan.certificates import CERTIFICATE, certificate_of, decided, likely_of, read, sampled_order, score_of
from dreamframe.plan.step import Step, TableStep, step
from dreamframe.plan.steps.algebra import relational
from dreamframe.plan.steps.once import AskedOnce
from dreamframe.plan.steps.prompt import Asking, PromptStep
from dreamframe.prompts.room import offer_room

FEW_SCORED = 0.1  # of the rows: with fewer answers of the proxy, nearly all rows are the strong model's
ENDS_THE_RUN = (OfflineError.__name__, BudgetExceededError.__name__)
NOT_LOOKED_UP = ("NotAsked", "NotKept")  # by runs that only look: there is no answer, and nobody is to be asked


@dataclass(frozen=True)
class Cascade(Settings):
    """Let a cheap model decide where that is certified: `df.filter_by(strong, "…", cascade=dr.Cascade(small, recall=0.9))`.

    `proxy` is asked about every row, and must tell how likely it finds its answers (`probability=`). For `classify` it may be a task model such as
    `dr.HFClassifier`, for yes or no an expression such as `pl.col("p")` that says how likely a yes is, whatever that was made by. A sample of the rows is
    asked of the strong model too, until thresholds of the proxy's probability are certified; the proxy decides the rows beyond them, and the strong model
    all others: those between, those of the sample, and those that the proxy fails on.

    The targets are shares between 0 and 1. `accuracy`: rows whose answer is that of the strong model. `recall`: of the rows that the strong model would
    keep, those that are kept; rows are then left out without asking it. `precision`: of the rows that are kept, those that the strong model would keep;
    rows are then kept without asking it. Recall and precision may be given together; for `classify`, the target is accuracy. What is promised is promised
    against the strong model, right or wrong, and missed with probability `delta` at most. `labels` is the most rows that are asked for the sample; None
    is as many as pay.

    The sample is drawn by what the rows ask and by `seed`, not by their places: another order of the rows changes nothing. All answers are kept under the
    keys of the same prompts without a cascade, so that nothing is asked twice, and after an edit of some rows the answers to the others serve again.
    Equal questions are asked once, whatever the strong model's temperature is.

    Raises SettingError for a target or a delta that no sample can promise, as 1.0.

    >>> strong = dr.testing.Scripted(lambda asked: "yes" if int(asked) > 400 else "no")
    >>> small = dr.testing.Scripted(lambda asked: {True: int(asked) / 1000, False: 1 - int(asked) / 1000}, model="small")
    >>> df = dr.frame({"n": range(1000)})
    >>> kept = df.filter_by(strong, "{n}", cascade=dr.Cascade(small, recall=0.9, precision=0.9)).collect()
    >>> kept.filter(pl.col("n") > 400).height >= 0.9 * 599, strong.calls < 1000
    (True, True)
    """

    proxy: Any = None
    _: KW_ONLY
    accuracy: float | None = None
    recall: float | None = None
    precision: float | None = None
    delta: float = 0.05
    labels: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if isinstance(self.seed, bool) or not isinstance(self.seed, int):
            raise SettingError(f"Cascade: seed={self.seed!r} is not a whole number.")
        try:
            self.promise  # noqa: B018  it checks
        except SettingError as exc:
            raise SettingError(f"Cascade: {exc}") from None

    @property
    def promise(self) -> Promise:
        """The targets alone."""
        return Promise(accuracy=self.accuracy, recall=self.recall, precision=self.precision, delta=self.delta, labels=self.labels)

    @property
    def targets(self) -> str:
        """The targets in words."""
        return " and ".join(f"{name} ≥ {value:g}" for name in ("accuracy", "recall", "precision") if (value := getattr(self, name)) is not None)


@step
class Certify(Asking, TableStep):
    """One row: which of its rows a proxy may decide, found by asking about some of them. `guess` and `likely` are the columns of the proxy's answers and
    of how likely it finds them."""

    guess: str
    likely: str
    cascade: Cascade  # without its proxy, which was asked below

    # Zeighami et al. 2025, BARGAIN; Kang et al. 2020, SUPG
    cites: ClassVar[tuple[str, ...]] = ("https://arxiv.org/abs/2509.02896", "https://arxiv.org/abs/2004.00827")
    needs_real: ClassVar[bool] = True

    def check(self) -> None:
        super().check()
        for column in (self.guess, self.likely):
            self.need(column)

    def reads(self) -> frozenset[str]:
        return super().reads() | {self.guess, self.likely}

    def passes(self) -> Mapping[str, str]:
        return {}

    def writes(self) -> tuple[str, ...]:
        return tuple(CERTIFICATE)

    def adds(self, *columns: str) -> None:
        """Its columns stand in the place of the input's."""

    @property
    def needs_order(self) -> bool:
        return False

    def n_out(self, *n_in: int | None) -> int:  # noqa: ARG002
        return 1

    def output_schema(self) -> pl.Schema:
        return pl.Schema(CERTIFICATE)

    def describe(self) -> str:
        return f"CERTIFY {self._promise}, by a sample of the rows (seed={self.cascade.seed})"

    @property
    def _promise(self) -> str:
        return f"{self.cascade.targets} against {self.llm.label}, missed with probability {self.cascade.delta:g} at most"

    def told(self, rows: pl.DataFrame) -> Mapping[str, Any]:
        """The ledger: what is promised, the figures of the rows, and the thresholds."""
        return {"promise": self._promise, **rows.drop("tests", "drawn").row(0, named=True)}

    @property
    def certified(self) -> frozenset[str]:
        return frozenset({self.guess})

    async def run(self, tables: tuple[pl.DataFrame, ...], ctx: RowContext) -> pl.DataFrame:
        rows, *beside = tables
        question = ctx.once("question", lambda: self.question(ctx))
        offer_room(question, ctx)
        prompts = await ctx.once("prompt", lambda: self.prompt.bound(tuple(beside))).rendered(rows, ctx)
        ctx.failures.clear()  # a prompt that cannot be written fails where its row is asked
        scores = rows.select(score_of(self.guess, self.likely, is_own=self.cascade.accuracy is not None)).to_series().set(prompts.is_null(), None)
        self._warn_of_few(prompts, scores, ctx)
        promise, seed = self.cascade.promise, self.cascade.seed
        second = sampled_order(prompts, f"{seed} for recall") if promise.precision is not None and promise.recall is not None else None
        certifier = Certifier(scores.to_list(), sampled_order(prompts, seed), promise, second)
        failed: dict[int, Failure] = {}
        while wanted := certifier.wanted():
            certifier.tell(await self._said_of(rows[wanted], prompts.gather(wanted), wanted, failed, ctx))
        for position, failure in failed.items():
            if not failure.keys and failure.error not in NOT_LOOKED_UP:  # a call failed: what is found without it is good, and not kept
                ctx.fail(position, failure)
        is_open = any(f.error in (*NOT_LOOKED_UP, *ENDS_THE_RUN) for f in failed.values())
        return certificate_of(certifier.outcome(), prompts, is_open=is_open)

    def _warn_of_few(self, prompts: pl.Series, scores: pl.Series, ctx: RowContext) -> None:
        """Say at once that the strong model is about to be asked about nearly everything: a proxy that fails saves nothing."""
        n_asked, n_scored = len(prompts) - prompts.null_count(), len(scores) - scores.null_count()
        if n_asked and n_scored < FEW_SCORED * n_asked:
            told = f"of {n_asked:,} rows {n_scored:,} have an answer of the proxy, and {self.llm.label} is asked about all others"
            ctx.note(f"{told}; df.failures() lists those that failed", warns=True, rows=n_asked, scored=n_scored)

    async def _said_of(
        self, rows: pl.DataFrame, prompts: pl.Series, positions: Sequence[int], failed: dict[int, Failure], ctx: RowContext
    ) -> dict[int, bool | None]:
        """What the strong model says of some rows: whether it is what the proxy says (of accuracy), else whether it is yes. None where it says nothing; where
        nobody is to be asked, what would be best for the proxy."""
        made = await self.answered(rows, self.as_asked(prompts), [0] * rows.height, ctx)
        said = pl.col(self.into) == pl.col(self.guess) if self.cascade.accuracy is not None else pl.col(self.into)
        best = pl.lit(value=True) if self.cascade.accuracy is not None else pl.col(self.guess)
        labels = made.select(said=said.fill_null(value=False), best=best.fill_null(value=False))
        found: dict[int, bool | None] = {}
        failures = _taken(ctx)
        for i, position in enumerate(positions):
            failure = failures.get(i)
            if failure is not None:
                failed[position] = failure
            is_left_out = failure is not None and failure.error in (*NOT_LOOKED_UP, *ENDS_THE_RUN)
            found[position] = labels["best" if is_left_out else "said"][i] if failure is None or is_left_out else None
        return found


@step
class Cascaded(AskedOnce):
    """Answers of a proxy where the certificate says so, and of the strong model in all other rows. The certificate is the last input."""

    guess: str
    likely: str

    def check(self) -> None:
        super().check()
        for column in (self.guess, self.likely):
            self.need(column)

    def reads(self) -> frozenset[str]:
        return super().reads() | {self.guess, self.likely}

    def describe(self) -> str:
        return f"{super().describe().replace('PROMPT', 'CASCADE', 1)}, asked where {self.guess} is not certified"

    async def prepare(self, tables: tuple[pl.DataFrame, ...], ctx: RowContext) -> None:
        await super().prepare(tables[:-1], ctx)
        ctx.once("certificate", lambda: read(tables[-1]))

    async def run(self, rows: pl.DataFrame, ctx: RowContext) -> pl.DataFrame:
        question = ctx.once("question", lambda: self.question(ctx))
        offer_room(question, ctx)
        prompts = await ctx.once("prompt", lambda: self.prompt).rendered(rows, ctx)
        known: dict[str, Any] = ctx.once("certificate", dict)
        by_proxy = decided(rows, prompts, known, guess=self.guess, likely=self.likely)
        asks = by_proxy.is_null()
        asked, before = asks.arg_true(), _taken(ctx)
        answered = await self.answered(rows[asked], self.as_asked(prompts.gather(asked)), [0] * len(asked), ctx)
        for position, failure in [*before.items(), *((asked[i], failure) for i, failure in _taken(ctx).items())]:
            ctx.fail(position, failure)
        place = pl.select(pl.when(asks).then(asks.cum_sum().cast(pl.Int64) - 1)).to_series()
        made = rows.hstack(answered.select(pl.col(self.writes()).gather(place)))
        merged = [pl.coalesce(by_proxy, pl.col(self.into)).alias(self.into)]
        if self.probability is not None:
            merged.append(pl.coalesce(likely_of(by_proxy, self.guess, self.likely), pl.col(self.probability)).alias(self.probability))
        return made.with_columns(merged)


def _taken(ctx: RowContext) -> dict[int, Failure]:
    """The failures so far, which are then the caller's to report."""
    failures = dict(ctx.failures)
    ctx.failures.clear()
    return failures


def cascaded(strong: PromptStep, over: Step, cascade: Cascade, *, guess: str, likely: str) -> Cascaded:
    """A prompt as a cascade, over a step that has the proxy's answers and how likely it finds them as columns."""
    asks = {f.name: getattr(strong, f.name) for f in fields(PromptStep) if f.name not in ("inputs", "on_error", "keep", "name")}
    asks |= {"guess": guess, "likely": likely}
    edges = strong.inputs[1:]
    columns = [pl.col(c) for c in over.schema if c in {*strong.prompt.columns, guess, likely}]
    table = relational("select", inputs=(over,), args=(columns,), name=strong.name)
    settings = replace(cascade, proxy=None)
    certificate = Certify(**asks, inputs=(table, *edges), cascade=settings, name=f"{strong.label} sample")
    return Cascaded(**asks, inputs=(over, *edges, certificate), on_error=strong.on_error, keep=strong.keep, name=strong.name)
