"""Fine-tuning of embedding models."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from numbers import Integral
from typing import TYPE_CHECKING, Any, ClassVar

import polars as pl

from dreamframe.errors import SettingError, TrainingError, listed
from dreamframe.models.base import setting
from dreamframe.models.edges import Trained
from dreamframe.models.embedders.sentence_transformers import SentenceTransformer
from dreamframe.trainers import hf
from dreamframe.trainers.job import TrainJob
from dreamframe.trainers.kinds import EMBEDDER, Kind
from dreamframe.trainers.nothing_to_learn import SAME_OR_NOT, of_labels_with_company, same_and_different
from dreamframe.trainers.quiet import alone
from dreamframe.trainers.roles import LABEL, TEXT, Roles
from dreamframe.trainers.sentences import LABELLED, RANKED, SCORED, SentenceTrainer, as_numbers, retrieval_of, without_card

if TYPE_CHECKING:
    from dreamframe.models.embedders.base import Embedder


@dataclass(frozen=True)
class SentenceTransformerTrainer(SentenceTrainer):
    """Fine-tune an embedding model, or make one of an encoder.

    Columns and the usual loss: `anchor, positive` or `anchor, positive, negative` (MultipleNegativesRankingLoss, where the other rows of a batch
    are wrong answers: larger batches teach more); `sentence1, sentence2, score` (CoSENTLoss); `sentence1, sentence2, label` (OnlineContrastiveLoss:
    1 same, 0 different); `text, label` (BatchAllTripletLoss: texts of one label belong together). `loss=` names any other of the library.
    `matryoshka=(384, 128, 64)` trains the first dimensions to serve alone (https://arxiv.org/abs/2205.13147).
    With validation it reports retrieval or correlation beside the loss. Texts over the base's sequence length are cut and counted.

    >>> dr.SentenceTransformerTrainer("me/encoder", loss="TripletLos").check({}, pl.Schema({"anchor": pl.String, "positive": pl.String}))
    Traceback (most recent call last):
    dreamframe.errors.SettingError: SentenceTransformerTrainer: no loss 'TripletLos'. Did you mean 'TripletLoss'? ...
    """

    matryoshka: tuple[int, ...] | None = setting()  # numbers of first dimensions that are to serve alone; None: only all of them together

    config: ClassVar[str] = "sentence_transformers.sentence_transformer.training_args:SentenceTransformerTrainingArguments"
    kind: ClassVar[Kind] = EMBEDDER
    ways: ClassVar[tuple[Roles, ...]] = (*RANKED, *SCORED, *LABELLED, Roles({"text": TEXT, "label": LABEL}))
    usual: ClassVar[Mapping[tuple[str, ...], str]] = {
        ("anchor", "positive", "negative"): "MultipleNegativesRankingLoss",
        ("anchor", "positive"): "MultipleNegativesRankingLoss",
        ("sentence1", "sentence2", "score"): "CoSENTLoss",
        ("sentence1", "sentence2", "label"): "OnlineContrastiveLoss",
        ("text", "label"): "BatchAllTripletLoss",
    }
    cites: ClassVar[tuple[str, ...]] = ("Sentence-BERT (Reimers and Gurevych 2019) https://arxiv.org/abs/1908.10084",)

    def __post_init__(self) -> None:
        if self.matryoshka is not None:
            held: Any = self.matryoshka
            given = list(held) if isinstance(held, Iterable) else [held]
            if strange := [n for n in given if not isinstance(n, Integral)]:
                raise SettingError(f"{self.label}: matryoshka={self.matryoshka!r} holds {strange[0]!r}; give numbers of dimensions, such as (384, 128, 64).")
            object.__setattr__(self, "matryoshka", tuple(sorted(map(int, given), reverse=True)))
        super().__post_init__()

    def _refuse_impossible(self) -> None:
        super()._refuse_impossible()
        if self.matryoshka is not None and (not self.matryoshka or self.matryoshka[-1] < 1):
            raise SettingError(f"{self.label}: matryoshka={self.matryoshka} must name dimensions of 1 and more.")

    def as_embedder(self, model: Trained, **settings: Any) -> Embedder:
        """`dr.SentenceTransformer` over what was trained."""
        return SentenceTransformer(model, **settings)

    def fit(self, job: TrainJob) -> dict[str, Any]:
        with alone():
            from sentence_transformers import SentenceTransformer
            from sentence_transformers import SentenceTransformerTrainer as Underlying
            from sentence_transformers import SentenceTransformerTrainingArguments as Arguments

            model = self.open_base(job, SentenceTransformer)
            rows, validation = (self.texts(path, job, model) for path in (job.rows, job.validation))
            assert rows is not None
            rows, validation = self._numbered(rows, validation, job)
            columns = tuple(rows.columns)
            sampler = {"text": "group_by_label", "anchor": "no_duplicates"}.get(columns[0], "batch_sampler")
            trainer = without_card(Underlying)(
                model=model,
                args=Arguments(**hf.arguments(self, job, batch_sampler=sampler)),
                train_dataset=hf.dataset(rows),
                eval_dataset=hf.dataset(validation),
                loss=self._loss(model, columns),
                evaluator=None if validation is None else _evaluator(validation),
                callbacks=hf.callbacks(self, job),
            )
            return hf.run(trainer, self, job, n_rows=rows.height, keep=lambda trained: self.keep(trained, job, SentenceTransformer))

    def check(self, columns: Mapping[str, str], schema: pl.Schema, *, has_validation: bool = True) -> None:
        super().check(columns, schema, has_validation=has_validation)
        if "text" in self.roles(columns, schema) and (self.share < 4 or self.share % 2):
            raise SettingError(f"{self.label}: batch_size={self.batch_size}: texts of one label are drawn in twos, so a batch holds 4, 6, 8 or more.")

    def _numbered(self, rows: pl.DataFrame, validation: pl.DataFrame | None, job: TrainJob) -> tuple[pl.DataFrame, pl.DataFrame | None]:
        """The rows with numbers as labels."""
        if "label" not in rows.columns:
            return rows, validation
        given = [t for t in (rows, validation) if t is not None]
        of_pairs = "sentence1" in rows.columns and self.loss_of(tuple(rows.columns)) in SAME_OR_NOT
        if of_pairs and (sides := same_and_different(rows["label"], who=self.label, job=job)):
            if strange := sorted({str(v) for t in given for v in t["label"].to_list()} - set(sides)):
                raise TrainingError(f"{self.label}: the validation rows have labels outside the set: {listed(strange)}. The labels are {listed(sides)}.")
            made = [t.with_columns(pl.col("label").cast(pl.String).replace_strict(sides, return_dtype=pl.Int64)) for t in given]
        else:
            if "text" in rows.columns:
                whose = (self.label, f"{self.label} validation")
                given = [of_labels_with_company(t, who=who, job=job) for t, who in zip(given, whose, strict=False)]
            made = [t.with_columns(as_numbers(t["label"])) for t in given]
        return made[0], made[1] if validation is not None else None

    def _loss(self, model: Any, columns: tuple[str, ...]) -> Any:
        loss = self.loss_over(model, columns)
        if self.matryoshka is None:
            return loss
        from sentence_transformers.losses import MatryoshkaLoss

        if self.matryoshka[0] > (dim := model.get_embedding_dimension()):
            raise TrainingError(f"{self.label}: matryoshka={self.matryoshka}, but the model's vectors have {dim} dimensions.")
        return MatryoshkaLoss(model, loss, list(self.matryoshka))


def _evaluator(rows: pl.DataFrame) -> Any:
    from sentence_transformers import evaluation

    if "anchor" in rows.columns:
        return evaluation.InformationRetrievalEvaluator(**retrieval_of(rows))
    if "sentence1" not in rows.columns or rows.height < 2:  # one score correlates with nothing; the loss is told all the same
        return None
    pairs = rows["sentence1"].to_list(), rows["sentence2"].to_list()
    if "score" in rows.columns:
        return evaluation.EmbeddingSimilarityEvaluator(*pairs, scores=rows["score"].to_list(), write_csv=False)
    return evaluation.BinaryClassificationEvaluator(*pairs, labels=rows["label"].to_list(), write_csv=False)
