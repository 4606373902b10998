"""Direct preference optimisation: the model learns to prefer the chosen answers, held to what it was before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from dreamframe.errors import SettingError
from dreamframe.models.base import setting
from dreamframe.trainers import hf
from dreamframe.trainers.base import refuse_algorithm, refuse_unless
from dreamframe.trainers.chat import ChatTrainer
from dreamframe.trainers.job import TrainJob
from dreamframe.trainers.loading import adapter_config, load_model, row_limit
from dreamframe.trainers.nothing_to_learn import DIFFERENCES, look_for_ties
from dreamframe.trainers.quiet import alone
from dreamframe.trainers.roles import CHAT, Roles

LOSSES = (
    "sigmoid", "hinge", "ipo", "exo_pair", "nca_pair", "robust", "bco_pair", "sppo_hard", "aot", "aot_unpaired",
    "apo_zero", "apo_down", "discopop", "sft", "sigmoid_norm",
)  # fmt: skip
PAIRS = (Roles({"prompt": CHAT, "chosen": CHAT, "rejected": CHAT}), Roles({"chosen": CHAT, "rejected": CHAT}))
PAIR_SEQUENCES = (("prompt", "chosen"), ("prompt", "rejected"))  # what the model reads of a pair


@dataclass(frozen=True)
class DPO(ChatTrainer):
    """Align a language model with pairs of answers, of which one was preferred (https://arxiv.org/abs/2305.18290).

    Columns: `prompt, chosen, rejected`, or `chosen, rejected` that both begin with the prompt. `loss` is one of TRL's losses or several of them
    (weighted by `args={"loss_weights": [...]}`). The reference is the model as it was before: under an adapter, the weights without it.
    Rows longer than `max_length` (1024, never more than the context) are cut and counted.

    Raises SettingError for settings that do not fit together, when it is made.

    >>> dr.DPO("me/chat", peft={"r": 8}, loss=["sigmoid", "sft"]).loss
    ('sigmoid', 'sft')
    >>> dr.DPO("me/chat", loss="sigmod")
    Traceback (most recent call last):
    dreamframe.errors.SettingError: DPO: loss='sigmod' is not possible. Did you mean 'sigmoid'? ...
    """

    loss: Any = setting("sigmoid")  # one of TRL's losses, or several of them
    beta: float = setting(0.1)  # how strongly the model is held to the reference: more is closer
    label_smoothing: float | None = setting()  # None: 0, and 0.001 for exo_pair, which needs some

    parts_weights: ClassVar[bool] = True
    config: ClassVar[str] = "trl.trainer.dpo_config:DPOConfig"
    ways: ClassVar[tuple[Roles, ...]] = PAIRS
    cites: ClassVar[tuple[str, ...]] = ("DPO (Rafailov et al. 2023) https://arxiv.org/abs/2305.18290",)
    owned: ClassVar[Mapping[str, str]] = {**ChatTrainer.owned, "loss_type": "loss=", "beta": "beta=", "label_smoothing": "label_smoothing="}

    def __post_init__(self) -> None:
        object.__setattr__(self, "loss", (self.loss,) if isinstance(self.loss, str) else tuple(self.loss))
        super().__post_init__()

    def _refuse_impossible(self) -> None:
        super()._refuse_impossible()
        for loss in self.loss:
            refuse_algorithm(loss, who=self.label)
            refuse_unless(loss, LOSSES, name="loss", who=self.label)
        if self.init:
            raise SettingError("DPO: init='scratch' has no reference to be held to; train a model with dr.SFT first.")

    def fit(self, job: TrainJob) -> dict[str, Any]:
        from transformers import AutoModelForCausalLM
        from trl.trainer.dpo_config import DPOConfig
        from trl.trainer.dpo_trainer import DPOTrainer

        with alone():
            tokenizer = self.chat_tokenizer(job)
            model = load_model(self, job, AutoModelForCausalLM)
            limit = row_limit(self, model, tokenizer, default=1024)
            rows = self.chat_rows(job.rows, job, tokenizer, limit, *PAIR_SEQUENCES)
            validation = self.chat_rows(job.validation, job, tokenizer, limit, *PAIR_SEQUENCES)
            look_for_ties(rows, who=self.label, job=job, prefers_only=set(self.loss) <= set(DIFFERENCES))
            smoothing = self.label_smoothing if self.label_smoothing is not None else 1e-3 if "exo_pair" in self.loss else 0.0
            args = hf.arguments(self, job, max_length=limit, loss_type=list(self.loss), beta=self.beta, label_smoothing=smoothing)
            trainer = DPOTrainer(
                model=model,
                args=DPOConfig(**args),
                train_dataset=hf.dataset(rows),
                eval_dataset=hf.dataset(validation),
                processing_class=tokenizer,
                peft_config=adapter_config(self, task="CAUSAL_LM"),
                callbacks=hf.callbacks(self, job),
            )
            return hf.run(trainer, self, job, n_rows=rows.height)
