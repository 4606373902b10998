"""Fine-tuning of sparse encoders (SPLADE): vectors over the vocabulary, for search by inverted index."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import polars as pl

from dreamframe.errors import SettingError
from dreamframe.models.base import setting
from dreamframe.models.edges import Trained
from dreamframe.trainers import hf
from dreamframe.trainers.bases import config_here, config_in, sentences_here, sentences_in
from dreamframe.trainers.job import TrainJob
from dreamframe.trainers.kinds import SPARSE_EMBEDDER, Kind
from dreamframe.trainers.quiet import alone
from dreamframe.trainers.roles import Roles
from dreamframe.trainers.sentences import RANKED, SCORED, SentenceTrainer, retrieval_of, without_card

if TYPE_CHECKING:
    from dreamframe.models.embedders.base import Embedder


@dataclass(frozen=True)
class SparseEncoderTrainer(SentenceTrainer):
    """Fine-tune a sparse encoder, or make one of a masked language model (https://arxiv.org/abs/2107.05720).

    Columns and the usual loss, both under a SpladeLoss that keeps the vectors sparse: `anchor, positive` or `anchor, positive, negative`
    (SparseMultipleNegativesRankingLoss); `sentence1, sentence2, score` (SparseCoSENTLoss). A base without a masked-language-model head is refused.

    >>> dr.SparseEncoderTrainer("me/bert", document_weight=1e-3).roles({}, pl.Schema({"anchor": pl.String, "positive": pl.String}))
    {'anchor': 'anchor', 'positive': 'positive'}
    """

    query_weight: float = setting(5e-5)  # how strongly query vectors are kept sparse
    document_weight: float = setting(3e-5)  # the same for the vectors of documents

    config: ClassVar[str] = "sentence_transformers.sparse_encoder.training_args:SparseEncoderTrainingArguments"
    family: ClassVar[str] = "sparse_encoder"
    kind: ClassVar[Kind] = SPARSE_EMBEDDER
    ways: ClassVar[tuple[Roles, ...]] = (*RANKED, *SCORED)
    usual: ClassVar[Mapping[tuple[str, ...], str]] = {
        ("anchor", "positive", "negative"): "SparseMultipleNegativesRankingLoss",
        ("anchor", "positive"): "SparseMultipleNegativesRankingLoss",
        ("sentence1", "sentence2", "score"): "SparseCoSENTLoss",
    }
    cites: ClassVar[tuple[str, ...]] = ("SPLADE (Formal et al. 2021) https://arxiv.org/abs/2107.05720",)

    def check(self, columns: Mapping[str, str], schema: pl.Schema, *, has_validation: bool = True) -> None:
        super().check(columns, schema, has_validation=has_validation)
        if self.authority is None:
            refuse_no_words(config_here(self.base), sentences_here(self.base))

    def as_embedder(self, model: Trained, **settings: Any) -> Embedder:  # noqa: ARG002  it always raises
        raise SettingError(
            "SparseEncoderTrainer: its vectors have a number for every token of the vocabulary, nearly all of them 0, and dreamframe has no column for that. "
            "Ask it with its library: from sentence_transformers import SparseEncoder; SparseEncoder(str(model.path)).encode(texts)."
        )

    def fit(self, job: TrainJob) -> dict[str, Any]:
        assert job.base is not None
        refuse_no_words(config_in(job.base), sentences_in(job.base))
        with alone():
            from sentence_transformers.sparse_encoder import SparseEncoder, SparseEncoderTrainingArguments, losses
            from sentence_transformers.sparse_encoder import SparseEncoderTrainer as Underlying

            model = self.open_base(job, SparseEncoder)
            rows, validation = (self.texts(path, job, model) for path in (job.rows, job.validation))
            assert rows is not None
            columns = tuple(rows.columns)
            sampler = "no_duplicates" if columns[0] == "anchor" else "batch_sampler"
            trainer = without_card(Underlying)(
                model=model,
                args=SparseEncoderTrainingArguments(**hf.arguments(self, job, batch_sampler=sampler)),
                train_dataset=hf.dataset(rows),
                eval_dataset=hf.dataset(validation),
                loss=losses.SpladeLoss(
                    model, self.loss_over(model, columns), document_regularizer_weight=self.document_weight, query_regularizer_weight=self.query_weight
                ),
                evaluator=None if validation is None else _evaluator(validation),
                callbacks=hf.callbacks(self, job),
            )
            return hf.run(trainer, self, job, n_rows=rows.height, keep=lambda trained: self.keep(trained, job, SparseEncoder))


def refuse_no_words(config: Mapping[str, Any] | None, modules: str | None) -> None:
    """Raise where the library would make another kind of sparse model without saying so."""
    if config is None or "Splade" in (modules or ""):
        return
    named = config.get("architectures") or []
    if not any(n.endswith("ForMaskedLM") for n in named):
        raise SettingError(
            f"SparseEncoderTrainer: the base must be a sparse encoder or a masked language model (architectures: ….ForMaskedLM); this one is {named}."
        )


def _evaluator(rows: pl.DataFrame) -> Any:
    from sentence_transformers.sparse_encoder import evaluation

    if "anchor" in rows.columns:
        return evaluation.SparseInformationRetrievalEvaluator(**retrieval_of(rows))
    if rows.height < 2:  # one score correlates with nothing; the loss is told all the same
        return None
    pairs = rows["sentence1"].to_list(), rows["sentence2"].to_list()
    return evaluation.SparseEmbeddingSimilarityEvaluator(*pairs, scores=rows["score"].to_list(), write_csv=False)
