"""REINFORCE with leave-one-out baselines: each completion is compared with the others of its prompt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from dreamframe.models.base import setting
from dreamframe.trainers.grpo import GroupTrainer
from dreamframe.trainers.job import TrainJob
from dreamframe.trainers.quiet import alone


@dataclass(frozen=True)
class RLOO(GroupTrainer):
    """Teach a language model by rewards, with the mean of the other completions as the baseline (https://arxiv.org/abs/2402.14740).

    Columns, rewards and `batch_size` as for `dr.GRPO`.

    >>> def short(completions): return [-len(c) for c in completions]
    >>> dr.RLOO("me/chat", rewards=short).generations
    4
    """

    generations: int = setting(4)  # completions of each prompt
    beta: float = setting(0.05)  # weight of the KL to the reference; 0: none is kept

    config: ClassVar[str] = "trl.trainer.rloo_config:RLOOConfig"
    cites: ClassVar[tuple[str, ...]] = ("RLOO (Ahmadian et al. 2024) https://arxiv.org/abs/2402.14740",)

    def fit(self, job: TrainJob) -> dict[str, Any]:
        with alone():
            from trl.trainer.rloo_config import RLOOConfig
            from trl.trainer.rloo_trainer import RLOOTrainer

            return self.fit_groups(job, RLOOTrainer, RLOOConfig)
