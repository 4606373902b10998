"""How a small head learns what a strong model says of some rows, and decides about others: the settings."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any

from dreamframe.errors import SettingError
from dreamframe.measure.promise import Promise
from dreamframe.models.embedders.base import Embedder
from dreamframe.models.embedders.names import need_embedder
from dreamframe.models.habits import Settings

LEAST_LABELS = 40  # with fewer, neither half says anything


@dataclass(frozen=True)
class Distil(Settings):
    """Let a small head decide where that is certified: `df.filter_by(strong, "…", distil=dr.Distil(dr.MiniLM()))`, also of `classify`.

    The strong model is asked about up to `labels` rows. With half of them a `dr.LogisticRegression` learns its answers from what `embedder` makes of the
    columns that the prompt reads; with the others, which the head never saw, it is found out where the head may decide: the share of all rows whose answer
    is that of the strong model is at least `accuracy`, but for `delta` of all samples. The strong model answers all other rows, and those that it was asked
    about. Where it gives one label alone, or too few rows, it answers all.

    Which rows are asked about is drawn by what they hold and by `seed`. Labels are kept answers of the same verb without `distil=`, and the head is a
    kept model: `df.models()` gives it, to look at and to publish. What is promised is promised against the strong model, right or wrong. Other rows make
    another head and are certified anew, whatever is kept: asked are the new ones among those that are drawn, and those that another head and another
    threshold leave to the strong model. With reviews under SmolLM2 and MiniLM, where the head is right of nine rows in ten, an edit of 20 of 600 rows cost
    9 calls beside those of the new sample in the mean, and at most 20 in 92 of 100 edits; where it is right of eight in ten or fewer, it cost 20 to 35.

    Raises SettingError for fewer than 40 labels, and for an accuracy or a delta that no sample can promise, as 1.0.

    >>> texts = [f"{'good' if i % 2 else 'bad'} tea number {i}" for i in range(400)]
    >>> strong = dr.testing.Scripted(lambda asked: "yes" if "good" in asked else "no")
    >>> kept = dr.frame({"text": texts}).filter_by(strong, "Is it fine? {text}", distil=dr.Distil(dr.testing.WordEmbedder(), labels=100, accuracy=0.9))
    >>> abs(kept.collect().height - 200) <= 40, strong.calls <= 100
    (True, True)
    """

    embedder: Any
    _: KW_ONLY
    labels: int = 500
    accuracy: float = 0.95
    delta: float = 0.05
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "embedder", need_embedder(self.embedder, where="Distil"))
        for name in ("labels", "seed"):
            if isinstance(value := getattr(self, name), bool) or not isinstance(value, int):
                raise SettingError(f"Distil: {name}={value!r} is not a whole number.")
        if self.labels < LEAST_LABELS:
            raise SettingError(f"Distil: labels={self.labels} are too few to learn from and to certify with; give {LEAST_LABELS} or more.")
        try:
            Promise(accuracy=self.accuracy, delta=self.delta)
        except SettingError as exc:
            raise SettingError(f"Distil: {exc}") from None

    @property
    def n_learnt(self) -> int:
        """Rows that the head learns from, at most."""
        return self.labels // 2


def need_distil(value: object, *, where: str) -> Distil:
    """Raise SettingError for what is not a Distil."""
    if isinstance(value, Distil):
        return value
    given = "an embedder" if isinstance(value, Embedder) else repr(value)
    raise SettingError(f"{where}: distil= is {given}; give dr.Distil(embedder), as dr.Distil(dr.MiniLM()).")
