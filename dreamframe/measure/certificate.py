"""What a sample showed: thresholds, who answers which rows, and the figures behind them."""

from __future__ import annotations

from dataclasses import dataclass

from dreamframe.measure.promise import Promise


@dataclass(frozen=True)
class Test:
    """One test of one target: `drawn` of `rows` rows were drawn without replacement, `bad` of them were bad; `allowed` may be bad among those not asked.

    `threshold` is the score that it certified, None where it certified none.
    """

    target: str  # "accuracy", "precision" or "recall"
    rows: int
    drawn: int
    bad: int
    allowed: int
    alpha: float
    threshold: float | None

    __test__ = False  # not a test of pytest's


@dataclass(frozen=True)
class Certificate:
    """The ledger of a cascade. Rows are counted, scores are the caller's.

    `own_from`: rows of at least this confidence keep the proxy's own answer (accuracy). `yes_from`: rows of at least this score are answered yes. `no_below`:
    rows of a lower score are answered no. None where nothing was certified; a row with a label always has the strong model's answer.
    """

    promise: Promise
    rows: int
    scored: int  # the others failed, and go to the strong model
    labels: int  # strong answers asked for to find the thresholds
    decided: int  # rows that the proxy answers
    strong: int  # rows that the strong model answers, `labels` among them
    own_from: float | None
    yes_from: float | None
    no_below: float | None
    tests: tuple[Test, ...]


@dataclass(frozen=True)
class Outcome:
    """Who answers which positions; each position is in one list."""

    certificate: Certificate
    own: list[int]  # keep the proxy's answer
    yes: list[int]
    no: list[int]
    labelled: list[int]  # have the strong model's answer
    left: list[int]  # the strong model is still to be asked
