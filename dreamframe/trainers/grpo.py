"""Group relative policy optimisation: several completions of each prompt, each worth what it is above its group."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from dreamframe.errors import SettingError
from dreamframe.models.base import setting
from dreamframe.trainers import hf
from dreamframe.trainers.base import refuse_unless
from dreamframe.trainers.chat import ChatTrainer
from dreamframe.trainers.job import TrainJob
from dreamframe.trainers.loading import adapter_config, load_model
from dreamframe.trainers.quiet import alone
from dreamframe.trainers.rewards import PolicyTrainer, library_rewards, need_prompts
from dreamframe.trainers.roles import CHAT, Roles

LOSSES = ("dapo", "grpo", "bnpo", "dr_grpo", "cispo", "sapo", "luspo", "vespo")


@dataclass(frozen=True)
class GroupTrainer(PolicyTrainer):
    """What GRPO and RLOO have in common: groups of completions of one prompt."""

    generations: int = setting(8)  # completions of each prompt
    beta: float = setting(0.0)  # weight of the KL to the reference; 0: none is kept

    ways: ClassVar[tuple[Roles, ...]] = (Roles({"prompt": CHAT}),)
    owned: ClassVar[Mapping[str, str]] = {
        **ChatTrainer.owned, "num_generations": "generations=", "max_completion_length": "max_new_tokens=", "temperature": "temperature=",
        "beta": "beta=", "reward_weights": "reward_weights=",
    }  # fmt: skip

    def _refuse_impossible(self) -> None:
        super()._refuse_impossible()
        if self.generations < 2:
            raise SettingError(f"{self.label}: generations={self.generations}; a completion is compared with others of its prompt: 2 or more.")
        if self.batch_size % (self.generations * self.processes):
            raise SettingError(
                f"{self.label}: batch_size={self.batch_size} counts completions; it must be a multiple of generations={self.generations}"
                + (f" for each of {self.processes} processes." if self.processes > 1 else ".")
            )

    def fit_groups(self, job: TrainJob, trainer_class: Any, config_class: Any, **own: Any) -> dict[str, Any]:
        """Train with one of TRL's trainers of groups."""
        from transformers import AutoModelForCausalLM

        tokenizer = self.chat_tokenizer(job, padding_side="left")
        model = load_model(self, job, AutoModelForCausalLM)
        rows = self.prompts(job.rows, job, model, tokenizer)
        args = hf.arguments(
            self, job, num_generations=self.generations, max_completion_length=self.max_new_tokens, temperature=self.temperature, beta=self.beta,
            reward_weights=None if self.reward_weights is None else list(self.reward_weights), **own,
        )  # fmt: skip
        assert rows is not None
        config = config_class(**args)
        need_prompts(rows, config.generation_batch_size // self.generations, per=f" of {self.generations} completions each", settings=self, job=job)
        trainer = trainer_class(
            model=model,
            reward_funcs=library_rewards(self, job),
            args=config,
            train_dataset=hf.dataset(rows),
            eval_dataset=hf.dataset(self.prompts(job.validation, job, model, tokenizer)),
            processing_class=tokenizer,
            peft_config=adapter_config(self, task="CAUSAL_LM"),
            callbacks=hf.callbacks(self, job),
        )
        return hf.run(trainer, self, job, n_rows=rows.height)


@dataclass(frozen=True)
class GRPO(GroupTrainer):
    """Teach a language model by rewards, with the group's mean as the baseline (https://arxiv.org/abs/2402.03300).

    Columns: `prompt`, and any further ones that the rewards read, passed by name. `batch_size` counts completions: `batch_size / generations`
    prompts make one step. Prompts that leave no room for `max_new_tokens` are left out and counted.

    `rewards`, as of `dr.RLOO` and `dr.PPO`, is one or several of: a function of lists, called by name with those of `prompts`, `completions` and columns
    that it has parameters for, that gives a number for each completion, the more the better; a verifier of `dr.verify`; a reward model of the plan
    (`dr.Reward`); `dr.LLMReward`. Their sum counts, weighted by `reward_weights`. Raises SettingError for settings that do not fit together.

    >>> def short(completions): return [-len(c) for c in completions]
    >>> model = dr.frame({"q": ["2+2?"]}).train(dr.GRPO("me/chat", rewards=short, batch_size=16, generations=8), prompt="q")
    >>> print(model.explain())
    TRAIN GRPO me/chat on prompt=q
      TABLE 1 rows
    >>> dr.GRPO("me/chat", rewards=short, generations=3)
    Traceback (most recent call last):
    dreamframe.errors.SettingError: GRPO: batch_size=8 counts completions; it must be a multiple of generations=3.
    """

    loss: Literal["dapo", "grpo", "bnpo", "dr_grpo", "cispo", "sapo", "luspo", "vespo"] = setting("dapo")  # as TRL names it

    config: ClassVar[str] = "trl.trainer.grpo_config:GRPOConfig"
    cites: ClassVar[tuple[str, ...]] = ("GRPO (Shao et al. 2024) https://arxiv.org/abs/2402.03300",)
    owned: ClassVar[Mapping[str, str]] = {**GroupTrainer.owned, "loss_type": "loss="}

    def _refuse_impossible(self) -> None:
        super()._refuse_impossible()
        refuse_unless(self.loss, LOSSES, name="loss", who=self.label)

    def fit(self, job: TrainJob) -> dict[str, Any]:
        with alone():
            from trl.trainer.grpo_config import GRPOConfig
            from trl.trainer.grpo_trainer import GRPOTrainer

            level = {"importance_sampling_level": "sequence"} if self.loss == "luspo" else {}
            return self.fit_groups(job, GRPOTrainer, GRPOConfig, loss_type=self.loss, **level)
