"""Proximal policy optimisation: the model writes, is rewarded, and moves in small clipped steps.

After Schulman et al. 2017 (https://arxiv.org/abs/1707.06347) with generalised advantages (https://arxiv.org/abs/1506.02438), and for language models
Ziegler et al. 2019 (https://arxiv.org/abs/1909.08593): the reward is the score of the whole completion at its last token, less at every token what the
policy has moved away from the model as it was. The loop is our own; accelerate spreads it over processes.
"""

from __future__ import annotations

import contextlib
import json
import math
import random
import time
from dataclasses import dataclass
from typing import Any, ClassVar

import polars as pl

from dreamframe.errors import SettingError, TrainingError
from dreamframe.models.base import setting
from dreamframe.trainers import hf
from dreamframe.trainers.checkpoints import agreed, going_on_from, last_checkpoint, mark_complete
from dreamframe.trainers.job import TrainJob
from dreamframe.trainers.loading import is_cpu, load_frozen, load_model, merges, with_adapter
from dreamframe.trainers.outcome import Outcome
from dreamframe.trainers.quiet import alone
from dreamframe.trainers.rewards import PolicyTrainer, texts
from dreamframe.trainers.roles import CHAT, Roles
from dreamframe.trainers.saving import save


@dataclass(frozen=True)
class PPO(PolicyTrainer):
    """Teach a language model by rewards, with a learnt value of every token as the baseline (https://arxiv.org/abs/1707.06347).

    Columns and rewards as for `dr.GRPO`. `batch_size` counts prompts, one completion each; every batch is learnt from `passes` times.

    >>> def short(completions): return [-len(c) for c in completions]
    >>> dr.PPO("me/chat", rewards=short, args={"optim": "sgd"}).check({}, pl.Schema({"prompt": pl.String}))
    Traceback (most recent call last):
    dreamframe.errors.SettingError: PPO: it has no underlying config, so args= is not possible; ...
    """

    beta: float = setting(0.05)  # weight of the KL to the model as it was
    clip: float = setting(0.2)  # how far the probability of a token may move in one batch, and a value
    passes: int = setting(4)  # how often it learns from each batch
    gamma: float = setting(1.0)  # discount from token to token
    gae_lambda: float = setting(0.95)  # from 0 (one token ahead) to 1 (the whole answer), https://arxiv.org/abs/1506.02438
    value_weight: float = setting(0.1)  # weight of the loss of the learnt values
    max_grad_norm: float = setting(1.0)  # gradients longer than this are cut
    max_kl: float | None = setting(is_later=True)  # ends the training, with the weights that it has, once it has moved further away than this

    config: ClassVar[str] = "transformers.training_args:TrainingArguments"
    ways: ClassVar[tuple[Roles, ...]] = (Roles({"prompt": CHAT}),)
    cites: ClassVar[tuple[str, ...]] = (
        "PPO (Schulman et al. 2017) https://arxiv.org/abs/1707.06347",
        "Fine-tuning from human preferences (Ziegler et al. 2019) https://arxiv.org/abs/1909.08593",
    )

    def _refuse_impossible(self) -> None:
        super()._refuse_impossible()
        if self.args:
            raise SettingError("PPO: it has no underlying config, so args= is not possible; its settings are beta, clip, passes, gamma, gae_lambda, …")
        if self.early_stopping:
            raise SettingError("PPO: early_stopping= is not possible; give steps= and look at model.metrics().")
        for name in ("callbacks", "compute_metrics", "optimizer", "early_stopping_threshold"):
            if getattr(self, name) is not None:
                raise SettingError(f"PPO: its loop is its own, so {name}= is not possible; dr.GRPO and dr.RLOO take it.")
        if self.max_kl is not None and self.max_kl <= 0:
            raise SettingError(f"PPO: max_kl={self.max_kl} must be more than 0.")
        if self.passes < 1:
            raise SettingError(f"PPO: passes={self.passes} must be 1 or more.")

    def kept_by_validation(self) -> str | None:
        return None  # it keeps the last weights: rewards are noisy, and its loop looks at the validation rows once

    def fit(self, job: TrainJob) -> dict[str, Any]:
        from transformers import AutoModelForCausalLM

        with alone():
            tokenizer = self.chat_tokenizer(job, padding_side="left")
            model = load_model(self, job, AutoModelForCausalLM)
            rows = self.prompts(job.rows, job, model, tokenizer)
            assert rows is not None
            validation = self.prompts(job.validation, job, model, tokenizer)
            return Loop(self, job, with_adapter(self, model, task="CAUSAL_LM"), tokenizer, rows).run(validation)


class Loop:
    """The state of one training: model, value head, optimiser, step and log. All that is random follows from the seed and the step."""

    def __init__(self, settings: PPO, job: TrainJob, model: Any, tokenizer: Any, rows: pl.DataFrame) -> None:
        import torch
        from accelerate import Accelerator
        from transformers import AutoModelForCausalLM

        self.settings, self.job, self.tokenizer, self.rows = settings, job, tokenizer, rows
        self.accelerator = Accelerator(cpu=is_cpu(settings))
        self.scorers = settings.scorers(job)
        torch.manual_seed(settings.seed)
        self.net = policy_and_value(model.eval())  # no dropout: a token's probability must be one number
        self.reference = None  # under a new adapter: the weights without it
        if not settings.peft:
            assert job.base is not None
            self.reference = policy_and_value(load_frozen(settings, job.base, job.adapter, AutoModelForCausalLM)).to(self.accelerator.device)
        self.trained = [p for p in self.net.parameters() if p.requires_grad]
        self.rate = settings.learning_rate or (1e-4 if settings.peft else 1e-5)
        self.optimizer = torch.optim.AdamW(self.trained, lr=self.rate, weight_decay=0.0)
        self.wrapped = self.accelerator.prepare(self.net)
        self.share = settings.batch_size // self.accelerator.num_processes  # prompts of one step in this process
        self.total = settings.steps or math.ceil((settings.epochs or 3.0) * rows.height / settings.batch_size)
        self.step, self.log = 0, list[dict[str, Any]]()

    def run(self, validation: pl.DataFrame | None) -> dict[str, Any]:
        """Train from the last checkpoint or from the start, and leave the artefact."""
        import torch

        hf.note_merged(self.settings, self.job)
        resumed, began, saved_at = self._restore(), time.monotonic(), time.monotonic()
        outcome = Outcome(self.settings, self.job, self.net.policy)
        while self.step < self.total:
            for group in self.optimizer.param_groups:
                group["lr"] = self.rate * (1 - self.step / self.total)
            torch.manual_seed(self.settings.seed * 1_000_003 + self.step * 1009 + self.accelerator.process_index)
            with outcome.watched():
                seen = self._learn(self._batch(self.step))
            self.step += 1
            outcome.see(self.step, seen)
            self.log.append({"step": self.step, "epoch": self.step * self.settings.batch_size / self.rows.height, **seen})
            if self.accelerator.is_main_process:
                self.job.progress({**seen, "step": float(self.step), "total": float(self.total)})
            if too_far := self.settings.max_kl is not None and seen["kl"] > self.settings.max_kl:
                over = f"the KL to the model as it was is {seen['kl']:.3g}, over max_kl={self.settings.max_kl:g}"
                self.job.note(f"PPO: ended at step {self.step} of {self.total}: {over}.")
            is_last = self.step == self.total or too_far
            due = not is_last and time.monotonic() - saved_at >= self.settings.checkpoint_s
            stop, due = agreed(self.job.stop.is_set() and not is_last, due, device=self.accelerator.device)
            if due or stop:
                self._checkpoint()
                saved_at = time.monotonic()
            if too_far:
                break
            if stop:
                raise TrainingError(f"PPO: stopped at step {self.step} of {self.total}; run it again to go on from there.")
        outcome.check(steps=self.total, log=self.log, n_rows=self.rows.height)
        metrics = {} if validation is None else self._evaluated(validation)
        if self.accelerator.is_main_process:
            save(self.net.policy, self.tokenizer, self.job.out, base_name=self.settings.base_name, merge=merges(self.settings, self.job))
        losses = [row["loss"] for row in self.log]
        return {
            "n_rows": self.rows.height, "steps": self.step, "epochs": self.log[-1]["epoch"], "train_loss": sum(losses) / len(losses),
            "losses": [losses[0], losses[-1]], "metrics": metrics, "best_step": None, "resumed_from_step": resumed, "log": self.log,
            "train_s": round(time.monotonic() - began, 3), "n_parameters": sum(p.numel() for p in self.net.parameters()),
            "n_trained_parameters": sum(p.numel() for p in self.trained), **hf.about(self.settings),
        }  # fmt: skip

    def _batch(self, step: int) -> pl.DataFrame:
        """The prompts of a step in this process: each epoch goes through all rows in an order of its own."""
        first, n = step * self.settings.batch_size + self.accelerator.process_index * self.share, self.rows.height
        order = {e: random.Random(f"{self.settings.seed} {e}").sample(range(n), n) for e in range(first // n, (first + self.share) // n + 1)}
        return self.rows[[order[i // n][i % n] for i in range(first, first + self.share)]]

    def _written(self, rows: pl.DataFrame) -> tuple[Any, Any, Any, list[float]]:
        """Completions of the prompts: ids (rows, prompt + new), what of them is read, what of the new tokens counts, and what they are worth."""
        import torch

        asked, is_chat = rows["prompt"].to_list(), isinstance(rows.schema["prompt"], pl.List)
        read = [self.tokenizer.apply_chat_template(p, tokenize=False, add_generation_prompt=True) for p in asked] if is_chat else asked
        batch = self.tokenizer(read, return_tensors="pt", padding=True, add_special_tokens=not is_chat).to(self.accelerator.device)
        with torch.no_grad():
            ids = self.net.policy.generate(
                input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], do_sample=True, temperature=self.settings.temperature,
                top_k=0, top_p=1.0, max_new_tokens=self.settings.max_new_tokens, pad_token_id=self.tokenizer.pad_token_id,
                eos_token_id=self.tokenizer.eos_token_id,
            )  # fmt: skip
        new = ids[:, batch["input_ids"].shape[1] :]
        ended = (new == self.tokenizer.eos_token_id).cumsum(1)
        counts = (ended == 0) | ((ended == 1) & (new == self.tokenizer.eos_token_id))  # up to the first end token
        attended = torch.cat([batch["attention_mask"].bool(), counts], dim=1)
        made = self.tokenizer.batch_decode([n[c] for n, c in zip(new, counts, strict=True)], skip_special_tokens=True)
        return ids, attended, counts, self._worth(rows.with_columns(pl.Series("prompt", texts(asked)), pl.Series("completion", made)))

    def _worth(self, rows: pl.DataFrame) -> list[float]:
        weights = self.settings.reward_weights or [1.0] * len(self.scorers)
        columns = [score(rows) for _, score in self.scorers]
        return [sum(w * (v or 0.0) for w, v in zip(weights, values, strict=True)) for values in zip(*columns, strict=True)]

    def _learn(self, rows: pl.DataFrame) -> dict[str, float]:
        """One step: write, judge, and move towards what was better than expected."""
        import torch

        s = self.settings
        ids, attended, counts, worth = self._written(rows)
        n_new, mask = counts.shape[1], counts.float()
        with torch.no_grad():
            old, values, _ = self._seen(self.net, ids, attended, n_new)
            values = values * mask
            away = (old - self._as_before(ids, attended, n_new)) * mask  # estimates the KL, token by token
            scores = torch.tensor(worth, device=old.device)
            rewards = -s.beta * away
            rewards[torch.arange(len(worth)), counts.sum(1) - 1] += scores
            advantages = self._advantages(rewards, values, mask)
            returns = advantages + values
            advantages = (advantages - masked_mean(advantages, mask)) / (masked_mean(advantages**2, mask) - masked_mean(advantages, mask) ** 2 + 1e-8).sqrt()
        for _ in range(s.passes):
            now, valued, entropy = self._seen(self.wrapped, ids, attended, n_new)
            ratio = (now - old).exp()
            gain = torch.minimum(ratio * advantages, ratio.clamp(1 - s.clip, 1 + s.clip) * advantages)
            held = values + (valued - values).clamp(-s.clip, s.clip)
            off = torch.maximum((valued - returns) ** 2, (held - returns) ** 2)
            loss = -masked_mean(gain, mask) + s.value_weight * 0.5 * masked_mean(off, mask)
            self.optimizer.zero_grad()
            self.accelerator.backward(loss)
            torch.nn.utils.clip_grad_norm_(self.trained, s.max_grad_norm)
            self.optimizer.step()
        seen = {
            "loss": loss, "reward": scores.mean(), "kl": away.sum(1).mean(), "value_loss": masked_mean(off, mask), "entropy": masked_mean(entropy, mask),
            "completion_tokens": mask.sum(1).mean(), "clipped": masked_mean(((ratio - 1).abs() > s.clip).float(), mask),
        }  # fmt: skip
        means = self.accelerator.reduce(torch.stack([v.detach().float() for v in seen.values()]), reduction="mean")
        return {**dict(zip(seen, means.tolist(), strict=True)), "learning_rate": self.optimizer.param_groups[0]["lr"]}

    def _advantages(self, rewards: Any, values: Any, mask: Any) -> Any:
        """Generalised advantage estimation, from the last token to the first. All (rows, new tokens)."""
        import torch

        made, ahead = torch.zeros_like(rewards), torch.zeros_like(rewards[:, 0])
        for t in reversed(range(rewards.shape[1])):
            next_value = values[:, t + 1] if t + 1 < rewards.shape[1] else torch.zeros_like(ahead)
            delta = rewards[:, t] + self.settings.gamma * next_value - values[:, t]
            ahead = (delta + self.settings.gamma * self.settings.gae_lambda * ahead) * mask[:, t]
            made[:, t] = ahead
        return made

    def _seen(self, net: Any, ids: Any, attended: Any, n_new: int) -> tuple[Any, Any, Any]:
        """Log-probability, value and entropy of each new token: (rows, new tokens)."""
        logits, values = net(ids, attended.long())
        words = (logits[:, -n_new - 1 : -1].float() / self.settings.temperature).log_softmax(-1)
        return words.gather(-1, ids[:, -n_new:, None]).squeeze(-1), values[:, -n_new - 1 : -1], -(words.exp() * words).sum(-1)

    def _as_before(self, ids: Any, attended: Any, n_new: int) -> Any:
        """Log-probabilities under the model as it was: the weights without the adapter, or a second copy."""
        with self.net.policy.disable_adapter() if self.reference is None else contextlib.nullcontext():
            return self._seen(self.net if self.reference is None else self.reference, ids, attended, n_new)[0]

    def _evaluated(self, rows: pl.DataFrame) -> dict[str, float]:
        """The mean worth of a completion of each validation prompt."""
        import torch

        torch.manual_seed(self.settings.seed)
        worth = [w for start in range(0, rows.height, self.share) for w in self._written(rows[start : start + self.share])[3]]
        return {"eval_reward": sum(worth) / len(worth)}

    def _checkpoint(self) -> None:
        """Weights and optimiser as safetensors, the log as JSON; nothing random needs keeping."""
        from safetensors.torch import save_file

        folder = self.job.checkpoints / f"checkpoint-{self.step}"
        if self.accelerator.is_main_process:
            folder.mkdir(parents=True, exist_ok=True)
            held = {f"weight.{i}": p.detach().contiguous() for i, p in enumerate(self.trained)}
            held |= {f"{k}.{i}": v for i, p in enumerate(self.trained) for k, v in self.optimizer.state[p].items()}
            save_file(held, folder / "state.safetensors")
            (folder / "log.json").write_text(json.dumps(self.log))
            mark_complete(folder)
        self.accelerator.wait_for_everyone()

    def _restore(self) -> int | None:
        import torch
        from safetensors.torch import load_file

        folder = last_checkpoint(self.job.checkpoints)
        if folder is None:
            return None
        with going_on_from(folder, lambda: False, who=self.settings.label), torch.no_grad():
            held = load_file(folder / "state.safetensors")
            for i, p in enumerate(self.trained):
                p.copy_(held[f"weight.{i}"])
                names = {k.rpartition(".")[0] for k in held if k.endswith(f".{i}")} - {"weight"}
                self.optimizer.state[p] = {n: held[f"{n}.{i}"].to("cpu" if n == "step" else p.device) for n in names}
            self.log = json.loads((folder / "log.json").read_text())
        self.step = int(folder.name.rpartition("-")[2])
        return self.step


def policy_and_value(policy: Any) -> Any:
    """A module: the policy with a head that tells what a position is worth: (ids, attended) → logits (rows, tokens, words), values (rows, tokens)."""
    import torch

    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.policy = policy
            self.value = torch.nn.Linear(policy.config.get_text_config().hidden_size, 1)
            torch.nn.init.zeros_(self.value.weight)
            torch.nn.init.zeros_(self.value.bias)

        def forward(self, ids: Any, attended: Any) -> tuple[Any, Any]:
            made = self.policy(input_ids=ids, attention_mask=attended, position_ids=positions(attended), output_hidden_states=True)
            return made.logits, self.value(made.hidden_states[-1].float()).squeeze(-1)

    return Net()


def positions(attended: Any) -> Any:
    """Position of each token in its own text, where texts are padded on the left."""
    return (attended.long().cumsum(-1) - 1).clamp(min=0)


def masked_mean(values: Any, mask: Any) -> Any:
    """The mean over the tokens that count."""
    return (values * mask).sum() / mask.sum().clamp(min=1.0)
