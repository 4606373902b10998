"""Kahneman-Tversky optimisation: the model learns from single answers that were liked or not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from dreamframe.errors import SettingError, TrainingError
from dreamframe.models.base import setting
from dreamframe.trainers import hf
from dreamframe.trainers.base import refuse_unless
from dreamframe.trainers.chat import ChatTrainer
from dreamframe.trainers.job import TrainJob
from dreamframe.trainers.loading import adapter_config, load_model, row_limit
from dreamframe.trainers.nothing_to_learn import note_one_value
from dreamframe.trainers.quiet import alone
from dreamframe.trainers.roles import BOOL, CHAT, Roles

LOSSES = ("kto", "apo_zero_unpaired")


@dataclass(frozen=True)
class KTO(ChatTrainer):
    """Align a language model with answers that were liked or not, without pairs (https://arxiv.org/abs/2402.01306).

    Columns: `prompt, completion, label` (true where the answer was liked). Where likes and dislikes are many and few, weigh them with
    `desirable_weight` and `undesirable_weight`. `batch_size` must be 2 or more for each process: the KL term pairs the rows of a batch.

    >>> dr.KTO("me/chat").roles({"label": "liked"}, pl.Schema({"prompt": pl.String, "completion": pl.String, "liked": pl.Boolean}))
    {'prompt': 'prompt', 'completion': 'completion', 'label': 'liked'}
    """

    loss: Literal["kto", "apo_zero_unpaired"] = setting("kto")  # as TRL names it
    beta: float = setting(0.1)  # how strongly the model is held to the reference
    desirable_weight: float = setting(1.0)  # of answers that were liked
    undesirable_weight: float = setting(1.0)  # of answers that were not

    parts_weights: ClassVar[bool] = True
    config: ClassVar[str] = "trl.trainer.kto_config:KTOConfig"
    ways: ClassVar[tuple[Roles, ...]] = (Roles({"prompt": CHAT, "completion": CHAT, "label": BOOL}),)
    cites: ClassVar[tuple[str, ...]] = ("KTO (Ethayarajh et al. 2024) https://arxiv.org/abs/2402.01306",)
    owned: ClassVar[Mapping[str, str]] = {
        **ChatTrainer.owned, "loss_type": "loss=", "beta": "beta=",
        "desirable_weight": "desirable_weight=", "undesirable_weight": "undesirable_weight=",
    }  # fmt: skip

    def _refuse_impossible(self) -> None:
        super()._refuse_impossible()
        refuse_unless(self.loss, LOSSES, name="loss", who=self.label)
        if self.init:
            raise SettingError("KTO: init='scratch' has no reference to be held to; train a model with dr.SFT first.")
        if self.batch_size < 2 * self.processes:
            raise SettingError(f"KTO: batch_size={self.batch_size} gives a process less than 2 rows a step, and its KL term pairs the rows of a batch.")

    def fit(self, job: TrainJob) -> dict[str, Any]:
        from transformers import AutoModelForCausalLM
        from trl.trainer.kto_config import KTOConfig
        from trl.trainer.kto_trainer import KTOTrainer

        with alone():
            tokenizer = self.chat_tokenizer(job)
            model = load_model(self, job, AutoModelForCausalLM)
            limit = row_limit(self, model, tokenizer, default=1024)
            rows = self.chat_rows(job.rows, job, tokenizer, limit, ("prompt", "completion"))
            validation = self.chat_rows(job.validation, job, tokenizer, limit, ("prompt", "completion"))
            if rows.height < 2:
                raise TrainingError("KTO: its KL term pairs rows, and there is only one.")
            note_one_value(rows["label"], "label", who=self.label, job=job)
            args = hf.arguments(
                self, job, max_length=limit, loss_type=self.loss, beta=self.beta,
                desirable_weight=self.desirable_weight, undesirable_weight=self.undesirable_weight,
            )  # fmt: skip
            trainer = KTOTrainer(
                model=model,
                args=KTOConfig(**args),
                train_dataset=hf.dataset(rows),
                eval_dataset=hf.dataset(validation),
                processing_class=tokenizer,
                peft_config=adapter_config(self, task="CAUSAL_LM"),
                callbacks=hf.callbacks(self, job),
            )
            return hf.run(trainer, self, job, n_rows=rows.height)
