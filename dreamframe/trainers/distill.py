"""Distillation: a small model learns to write as a large one would have gone on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from dreamframe.errors import SettingError, TrainingError
from dreamframe.models.base import setting
from dreamframe.trainers import hf
from dreamframe.trainers.bases import refuse_no_weights
from dreamframe.trainers.chat import ChatTrainer
from dreamframe.trainers.job import TrainJob
from dreamframe.trainers.loading import adapter_config, load_frozen, load_model
from dreamframe.trainers.quiet import alone
from dreamframe.trainers.rewards import need_prompts, prompts_that_fit
from dreamframe.trainers.roles import CHAT, Roles
from dreamframe.trainers.weights import base_identity, locate


@dataclass(frozen=True)
class Distill(ChatTrainer):
    """Teach a language model its teacher's probabilities, token by token, on what it writes itself (https://arxiv.org/abs/2306.13649).

    Columns: `prompt`. `teacher` is what a base can be: a Hub id, a folder, a model of this plan; it must have the same tokens. `beta` leads from
    forward KL (0) to reverse KL (1). Prompts that leave no room for `max_new_tokens` are left out and counted. To learn from a model behind an API,
    let it write a column and train `dr.SFT` on that.

    >>> dr.Distill("me/small", teacher="me/large").summary
    'Distill(small)'
    """

    teacher: Any = setting()  # what a base can be; it must have the same tokens
    beta: float = setting(1.0)  # 0: forward KL; 1: reverse KL
    temperature: float = setting(1.0)  # at which both are compared and texts are written
    max_new_tokens: int = setting(256)  # tokens of a text that it writes to learn from

    shows_predictions: ClassVar[bool] = False
    parts_weights: ClassVar[bool] = True
    config: ClassVar[str] = "trl.trainer.distillation_config:DistillationConfig"
    ways: ClassVar[tuple[Roles, ...]] = (Roles({"prompt": CHAT}),)
    cites: ClassVar[tuple[str, ...]] = ("On-policy distillation (Agarwal et al. 2023) https://arxiv.org/abs/2306.13649",)
    owned: ClassVar[Mapping[str, str]] = {
        **ChatTrainer.owned, "beta": "beta=", "temperature": "temperature=", "max_completion_length": "max_new_tokens=",
        "teacher_model_name_or_path": "teacher=",
    }  # fmt: skip

    def _refuse_impossible(self) -> None:
        super()._refuse_impossible()
        if self.teacher is None:
            raise SettingError("Distill: teacher= is missing: a Hub id, a folder, or a model of this plan.")
        refuse_no_weights(self.teacher, self.label, name="teacher")
        if not 0 <= self.beta <= 1:
            raise SettingError(f"Distill: beta={self.beta} must lie between 0 (forward KL) and 1 (reverse KL).")

    def identity_fields(self) -> Mapping[str, object]:

        return {**super().identity_fields(), "teacher": base_identity(self.teacher, self.hub_token)}

    def fit(self, job: TrainJob) -> dict[str, Any]:
        from transformers import AutoModelForCausalLM

        with alone():
            from trl.trainer.distillation_config import DistillationConfig
            from trl.trainer.distillation_trainer import DistillationTrainer

            at = locate(self.teacher, who="Distill teacher", token=self.hub_token)
            tokenizer = self.chat_tokenizer(job, padding_side="left")
            model = load_model(self, job, AutoModelForCausalLM)
            teacher = load_frozen(self, at.weights, at.adapter, AutoModelForCausalLM)
            if (ours := model.config.get_text_config().vocab_size) != (theirs := teacher.config.get_text_config().vocab_size):
                raise TrainingError(f"Distill: the teacher knows {theirs} tokens and the student {ours}; both must have the same tokenizer.")
            rows = prompts_that_fit(self, job.rows, job, model, tokenizer, room=self.max_new_tokens)
            args = hf.arguments(self, job, beta=self.beta, temperature=self.temperature, max_completion_length=self.max_new_tokens)
            assert rows is not None
            need_prompts(rows, self.batch_size, per="", settings=self, job=job)
            trainer = DistillationTrainer(
                model=model,
                teacher_model=teacher,
                args=DistillationConfig(**args),
                train_dataset=hf.dataset(rows),
                eval_dataset=hf.dataset(prompts_that_fit(self, job.validation, job, model, tokenizer, room=self.max_new_tokens)),
                processing_class=tokenizer,
                peft_config=adapter_config(self, task="CAUSAL_LM"),
                callbacks=hf.callbacks(self, job),
            )
            return hf.run(trainer, self, job, n_rows=rows.height)
