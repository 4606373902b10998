"""Reward models: a score for an answer, learnt from pairs or from scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import polars as pl

from dreamframe.models.base import setting
from dreamframe.models.edges import Trained
from dreamframe.models.task_models.trained import RewardModel
from dreamframe.trainers import hf
from dreamframe.trainers.chat import ChatTrainer, tokens
from dreamframe.trainers.dpo import PAIR_SEQUENCES
from dreamframe.trainers.job import TrainJob
from dreamframe.trainers.kinds import REWARD, Kind
from dreamframe.trainers.loading import adapter_config, load_model, row_limit, with_adapter
from dreamframe.trainers.nothing_to_learn import look_for_ties, note_one_value
from dreamframe.trainers.quiet import alone
from dreamframe.trainers.roles import CHAT, NUMBER, Roles

if TYPE_CHECKING:
    from dreamframe.models.task_models.base import TaskModel


@dataclass(frozen=True)
class Reward(ChatTrainer):
    """Train a model that scores answers, for `dr.GRPO`, `dr.RLOO`, `dr.PPO`, or to rank by.

    Columns: `chosen, rejected` (with `prompt` or beginning with it, and a `margin` by which the chosen one is better, if that is known), or
    `completion, score` (with or without `prompt`): then it learns the numbers themselves. The artefact is a sequence classifier with one output.
    Pairs are learnt as in https://arxiv.org/abs/2204.05862. Rows longer than `max_length` (1024, never more than the context) are cut and counted.

    >>> dr.Reward("me/base").roles({"output": "essay", "score": "grade"}, pl.Schema({"essay": pl.String, "grade": pl.Int64}))
    {'completion': 'essay', 'score': 'grade'}
    """

    center_rewards: float | None = setting()  # weight that pulls the mean reward to 0, https://arxiv.org/abs/2312.09244

    parts_weights: ClassVar[bool] = True
    config: ClassVar[str] = "trl.trainer.reward_config:RewardConfig"
    kind: ClassVar[Kind] = REWARD
    ways: ClassVar[tuple[Roles, ...]] = (
        Roles({"prompt": CHAT, "chosen": CHAT, "rejected": CHAT, "margin": NUMBER}, optional=("prompt", "margin")),
        Roles({"prompt": CHAT, "completion": CHAT, "score": NUMBER}, optional=("prompt",)),
    )
    cites: ClassVar[tuple[str, ...]] = ("Reward modelling from human feedback (Bai et al. 2022) https://arxiv.org/abs/2204.05862",)
    owned: ClassVar[Mapping[str, str]] = {**ChatTrainer.owned, "center_rewards_coefficient": "center_rewards="}

    def as_reward(self, model: Trained, **settings: Any) -> TaskModel:
        """`dr.RewardModel` over what was trained."""
        return RewardModel(**self.weights_of(model), **settings)

    def fit(self, job: TrainJob) -> dict[str, Any]:
        from transformers import AutoModelForSequenceClassification

        with alone():
            tokenizer = self.chat_tokenizer(job, padding_side="right")
            model = load_model(self, job, AutoModelForSequenceClassification, num_labels=1)
            model.config.get_text_config().pad_token_id = tokenizer.pad_token_id
            limit = row_limit(self, model, tokenizer, default=1024)
            rows = self._rows(job.rows, job, tokenizer, limit)
            assert rows is not None
            validation = self._rows(job.validation, job, tokenizer, limit)
            make = self._of_pairs if "chosen_ids" in rows.columns else self._of_scores
            trainer = make(job, model, tokenizer, limit, rows, validation)
            return hf.run(trainer, self, job, n_rows=rows.height)

    def _rows(self, path: Any, job: TrainJob, tokenizer: Any, limit: int) -> pl.DataFrame | None:
        """Tokens, cut to the limit: `chosen_ids, rejected_ids` and the margin, or `input_ids` and the score."""
        rows = self.chat_rows(path, job, tokenizer, limit, *PAIR_SEQUENCES, ("prompt", "completion"))
        if rows is None:
            return None
        who = self.label if path == job.rows else f"{self.label} validation"
        prompt = ["prompt"] if "prompt" in rows.columns else []
        if "score" in rows.columns:
            note_one_value(rows["score"], "score", who=who, job=job)
            ids = tokens(tokenizer, rows.select(*prompt, "completion"), limit=limit, ends=True)
            return pl.DataFrame({"input_ids": ids, "labels": rows["score"].cast(pl.Float32)})
        made = {f"{c}_ids": tokens(tokenizer, rows.select(*prompt, c), limit=limit, ends=True) for c in ("chosen", "rejected")}
        cut = pl.DataFrame({**made, **({"margin": rows["margin"].cast(pl.Float32)} if "margin" in rows.columns else {})})
        if path == job.rows:
            look_for_ties(cut, who=who, job=job, prefers_only=not self.center_rewards, columns=("chosen_ids", "rejected_ids"))
        return cut

    def _of_pairs(self, job: TrainJob, model: Any, tokenizer: Any, limit: int, rows: Any, validation: Any) -> Any:
        from trl.trainer.reward_config import RewardConfig
        from trl.trainer.reward_trainer import RewardTrainer

        trainer = RewardTrainer(
            model=model,
            args=RewardConfig(**hf.arguments(self, job, max_length=limit, center_rewards_coefficient=self.center_rewards)),
            train_dataset=hf.dataset(rows),
            eval_dataset=hf.dataset(validation),
            processing_class=tokenizer,
            peft_config=adapter_config(self, task="SEQ_CLS"),
            callbacks=hf.callbacks(self, job),
        )
        if self.quantization:  # the library halves whatever is trained over quantised weights; the head reads 32 bits
            for name, parameter in trainer.model.named_parameters():
                if "modules_to_save" in name:
                    parameter.data = parameter.data.float()
        return trainer

    def _of_scores(self, job: TrainJob, model: Any, tokenizer: Any, limit: int, rows: Any, validation: Any) -> Any:  # noqa: ARG002  as _of_pairs
        from transformers import DataCollatorWithPadding, Trainer, TrainingArguments

        model.config.problem_type = "regression"
        return Trainer(
            model=with_adapter(self, model, task="SEQ_CLS"),
            args=TrainingArguments(**hf.arguments(self, job)),
            train_dataset=hf.dataset(rows),
            eval_dataset=hf.dataset(validation),
            processing_class=tokenizer,
            data_collator=DataCollatorWithPadding(tokenizer),
            callbacks=hf.callbacks(self, job),
        )
