"""Odds-ratio preference optimisation: learning to write and to prefer at once, without a reference model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from dreamframe.models.base import setting
from dreamframe.trainers import hf
from dreamframe.trainers.chat import ChatTrainer
from dreamframe.trainers.dpo import PAIR_SEQUENCES, PAIRS
from dreamframe.trainers.job import TrainJob
from dreamframe.trainers.loading import adapter_config, load_model, row_limit
from dreamframe.trainers.nothing_to_learn import look_for_ties
from dreamframe.trainers.quiet import alone
from dreamframe.trainers.roles import Roles


@dataclass(frozen=True)
class ORPO(ChatTrainer):
    """Fine-tune and align a language model in one training, from pairs of answers (https://arxiv.org/abs/2403.07691).

    Columns: `prompt, chosen, rejected`. No reference model is needed, so a base model can be trained at once.
    Rows longer than `max_length` (1024, never more than the context) are cut and counted.

    >>> dr.ORPO("me/base", beta=0.2).summary
    'ORPO(base)'
    """

    beta: float = setting(0.1)  # weight of the preference beside the likelihood (λ of the paper)

    parts_weights: ClassVar[bool] = True
    config: ClassVar[str] = "trl.experimental.orpo.orpo_config:ORPOConfig"
    adds_start: ClassVar[bool] = True
    ways: ClassVar[tuple[Roles, ...]] = PAIRS[:1]
    cites: ClassVar[tuple[str, ...]] = ("ORPO (Hong et al. 2024) https://arxiv.org/abs/2403.07691",)
    owned: ClassVar[Mapping[str, str]] = {**ChatTrainer.owned, "beta": "beta="}

    def fit(self, job: TrainJob) -> dict[str, Any]:
        with alone():
            from trl.experimental.orpo import ORPOConfig, ORPOTrainer

            return fit_without_reference(self, job, ORPOTrainer, ORPOConfig, beta=self.beta)


def fit_without_reference(
    settings: ChatTrainer, job: TrainJob, trainer_class: Any, config_class: Any, *, prefers_only: bool = False, **own: Any
) -> dict[str, Any]:
    """What ORPO and CPO do alike: pairs, a policy, and no reference. `prefers_only`: whether the chosen answers are not learnt by themselves."""
    from transformers import AutoModelForCausalLM

    tokenizer = settings.chat_tokenizer(job)
    model = load_model(settings, job, AutoModelForCausalLM)
    limit = row_limit(settings, model, tokenizer, default=1024)
    rows, validation = (settings.chat_rows(path, job, tokenizer, limit, *PAIR_SEQUENCES) for path in (job.rows, job.validation))
    look_for_ties(rows, who=settings.label, job=job, prefers_only=prefers_only)
    trainer = trainer_class(
        model=model,
        args=config_class(**hf.arguments(settings, job, max_length=limit, remove_unused_columns=False, **own)),
        train_dataset=hf.dataset(rows),
        eval_dataset=hf.dataset(validation),
        processing_class=tokenizer,
        peft_config=adapter_config(settings, task="CAUSAL_LM"),
        callbacks=hf.callbacks(settings, job),
    )
    return hf.run(trainer, settings, job, n_rows=rows.height)
