"""Contrastive preference optimisation, and SimPO: preferring without a reference model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from dreamframe.models.base import setting
from dreamframe.trainers.base import refuse_algorithm, refuse_unless
from dreamframe.trainers.chat import ChatTrainer
from dreamframe.trainers.dpo import PAIRS
from dreamframe.trainers.job import TrainJob
from dreamframe.trainers.orpo import fit_without_reference
from dreamframe.trainers.quiet import alone
from dreamframe.trainers.roles import Roles

LOSSES = ("sigmoid", "hinge", "ipo", "simpo", "alphapo")


@dataclass(frozen=True)
class CPO(ChatTrainer):
    """Align a language model with pairs of answers, without a reference model (https://arxiv.org/abs/2401.08417).

    Columns: `prompt, chosen, rejected`. SimPO (https://arxiv.org/abs/2405.14734) is `loss="simpo", cpo_alpha=0`: rewards by length, a margin of
    `simpo_gamma`, and no likelihood term.

    >>> dr.CPO("me/chat", loss="simpo", cpo_alpha=0.0, simpo_gamma=1.0).loss
    'simpo'
    """

    loss: Literal["sigmoid", "hinge", "ipo", "simpo", "alphapo"] = setting("sigmoid")  # as TRL names it
    beta: float = setting(0.1)  # how strongly the preference counts
    cpo_alpha: float = setting(1.0)  # weight of the likelihood of the chosen answers
    simpo_gamma: float = setting(0.5)  # target margin of SimPO

    parts_weights: ClassVar[bool] = True
    config: ClassVar[str] = "trl.experimental.cpo.cpo_config:CPOConfig"
    adds_start: ClassVar[bool] = True
    ways: ClassVar[tuple[Roles, ...]] = PAIRS[:1]
    cites: ClassVar[tuple[str, ...]] = ("CPO (Xu et al. 2024) https://arxiv.org/abs/2401.08417", "SimPO (Meng et al. 2024) https://arxiv.org/abs/2405.14734")
    owned: ClassVar[Mapping[str, str]] = {
        **ChatTrainer.owned, "loss_type": "loss=", "beta": "beta=", "cpo_alpha": "cpo_alpha=", "simpo_gamma": "simpo_gamma=",
    }  # fmt: skip

    def _refuse_impossible(self) -> None:
        super()._refuse_impossible()
        refuse_algorithm(self.loss, who=self.label)
        refuse_unless(self.loss, LOSSES, name="loss", who=self.label)

    def fit(self, job: TrainJob) -> dict[str, Any]:
        with alone():
            from trl.experimental.cpo import CPOConfig, CPOTrainer

            own = {"loss_type": self.loss, "beta": self.beta, "cpo_alpha": self.cpo_alpha, "simpo_gamma": self.simpo_gamma}
            return fit_without_reference(self, job, CPOTrainer, CPOConfig, prefers_only=self.cpo_alpha == 0, **own)
