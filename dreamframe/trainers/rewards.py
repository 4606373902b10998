"""Rewards of reinforcement learning: Python functions, reward models of the plan, and language models that judge."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import polars as pl

from dreamframe.errors import DreamframeError, ParseError, SettingError, TrainingError, did_you_mean, listed
from dreamframe.models.base import LLM, Artefact, setting
from dreamframe.models.edges import Trained
from dreamframe.models.llms.names import llm
from dreamframe.models.request import Question
from dreamframe.prompts.answer_schema import AnswerSchema
from dreamframe.prompts.templates import columns as template_columns
from dreamframe.prompts.templates import render
from dreamframe.prompts.verifier import Verifier
from dreamframe.trainers.chat import ChatTrainer, as_messages, tokens
from dreamframe.trainers.distributed import is_elsewhere
from dreamframe.trainers.job import TrainJob
from dreamframe.trainers.loading import context_length, load_frozen
from dreamframe.trainers.weights import base_identity, locate

Scorer = Callable[[pl.DataFrame], list[float | None]]  # rows of prompt, completion and the further columns → a reward each
NUMBER = AnswerSchema.of(float, step="LLMReward")


@dataclass(frozen=True)
class LLMReward:
    """A language model as the judge of completions: its number is the reward.

    `prompt` may hold `{prompt}`, `{completion}` and the frame's further columns. Numbers outside `scale` and answers without a number teach nothing:
    such completions count as average, and are counted in the summary. Answers are kept like all others, so a judge is paid once.

    >>> dr.LLMReward(dr.testing.Echo(), "Rate this from 1 to 10: {completion}").scale
    (1.0, 10.0)
    """

    llm: Any
    prompt: str
    scale: tuple[float, float] = (1.0, 10.0)

    def __post_init__(self) -> None:
        low, high = self.scale
        object.__setattr__(self, "scale", (float(low), float(high)))
        if not low < high:
            raise SettingError(f"LLMReward: scale={self.scale} must go up.")
        if "completion" not in template_columns(self.prompt, "LLMReward"):
            raise SettingError("LLMReward: the prompt must show the judge the {completion}.")
        if isinstance(self.llm, str):
            object.__setattr__(self, "llm", llm(self.llm))

    def key_fields(self) -> Mapping[str, object]:
        return {"llm": self.llm.key_fields(), "prompt": self.prompt, "scale": self.scale}

    def edges(self) -> tuple[Trained, ...]:
        return tuple(self.llm.edges())

    def resolve(self, trained: Callable[[Trained], Artefact]) -> LLMReward:
        return replace(self, llm=self.llm.resolve(trained))


@dataclass(frozen=True)
class PolicyTrainer(ChatTrainer):
    """A trainer that lets the model write, and teaches it by what its completions are worth.

    `rewards` is one of these, or several that are added up with `reward_weights`:
    one of `dr.verify` (1 for right, 0 for wrong);
    a function `fn(prompts, completions, **columns) -> list of numbers` (texts and the further columns by name, as far as it names them; None for "no
    opinion"); a reward model of the plan (`train(dr.Reward(...))`) or the folder of one; or `dr.LLMReward(llm, "Rate … {completion} …")`.
    """

    rewards: Any = setting(())  # functions, reward models, `dr.LLMReward`; one or several
    reward_weights: tuple[float, ...] | None = setting()  # one a reward; None: 1 each
    max_new_tokens: int = setting(256)  # tokens of a completion
    temperature: float = setting(1.0)  # at which completions are drawn

    extra_roles: ClassVar[bool] = True
    shows_predictions: ClassVar[bool] = False
    best: ClassVar[tuple[str, bool]] = ("eval_reward", True)

    def __post_init__(self) -> None:
        given = tuple(self.rewards) if isinstance(self.rewards, list | tuple) else (self.rewards,)
        object.__setattr__(self, "rewards", given)
        if self.reward_weights is not None:
            given_weights: Any = self.reward_weights
            try:
                weights = () if isinstance(given_weights, str) else tuple(map(float, given_weights))
            except (TypeError, ValueError):
                weights = ()
            if not weights or not all(map(math.isfinite, weights)) or not any(weights):
                raise SettingError(f"{self.label}: reward_weights={self.reward_weights!r}; give a list of numbers, one for each reward and not all of them 0.")
            object.__setattr__(self, "reward_weights", weights)
        super().__post_init__()

    def _refuse_impossible(self) -> None:
        super()._refuse_impossible()
        if self.init:
            raise SettingError(f"{self.label}: init='scratch' makes a model that cannot write yet; train a model with dr.SFT first.")
        if not self.rewards:
            raise SettingError(f"{self.label}: rewards= is missing: a function, a reward model, or dr.LLMReward(llm, '… {{completion}} …').")
        if self.reward_weights is not None and len(self.reward_weights) != len(self.rewards):
            raise SettingError(f"{self.label}: {len(self.rewards)} rewards need {len(self.rewards)} reward_weights, not {len(self.reward_weights)}.")
        for reward in self.rewards:
            if isinstance(reward, LLM):
                raise SettingError(f"{self.label}: say what {reward.label} is to judge: dr.LLMReward(llm, 'Rate from 1 to 10: {{completion}}').")
            if isinstance(reward, LLMReward) and (self.processes > 1 or is_elsewhere(self.device)):
                raise SettingError(f"{self.label}: an LLM's reward is asked by the run's own process; train with processes=1, on the first device it sees.")

    def roles(self, columns: Mapping[str, str], schema: pl.Schema) -> dict[str, str]:
        """The prompt, the columns that were named, and those that a reward reads by their own name."""
        given = super().roles(columns, schema)
        return given | {name: name for reward in self.rewards for name in _reads(reward) if name not in given and name in schema}

    def check(self, columns: Mapping[str, str], schema: pl.Schema, *, has_validation: bool = True) -> None:
        super().check(columns, schema, has_validation=has_validation)
        known = self.roles(columns, schema)
        for reward in self.rewards:
            for name, is_needed in _reads(reward).items():
                if is_needed and name not in known:
                    what = "LLMReward" if isinstance(reward, LLMReward) else f"the reward {_name(reward)}"
                    raise SettingError(f"{self.label}: {what} reads {name!r}, and the frame has {listed(schema.names())}.{did_you_mean(name, schema.names())}")

    def identity_fields(self) -> Mapping[str, object]:

        own = super().identity_fields()
        held = [base_identity(r, self.hub_token) if isinstance(r, str) else r for r in self.rewards]  # a folder by its content
        return {**own, "rewards": held}

    def prompts(self, path: Any, job: TrainJob, model: Any, tokenizer: Any) -> pl.DataFrame | None:
        """The rows of a file, prompts as chats where the tokenizer has a template."""
        return prompts_that_fit(self, path, job, model, tokenizer, room=self.max_new_tokens)

    def scorers(self, job: TrainJob) -> list[tuple[str, Scorer]]:
        """Name and function of each reward, its models loaded."""
        return [_scorer(self, reward, i, job) for i, reward in enumerate(self.rewards)]


def prompts_that_fit(settings: ChatTrainer, path: Any, job: TrainJob, model: Any, tokenizer: Any, *, room: int) -> pl.DataFrame | None:
    """The prompts of a file that leave room for `room` new tokens. Longer ones are left out: a prompt that is cut is another question."""
    limit = context_length(model, tokenizer, who=settings.label) - room
    if limit < 1:
        raise TrainingError(f"{settings.label}: max_new_tokens={room} fill the whole context of the base; give fewer.")
    leaving = settings if settings.too_long == "error" else replace(settings, too_long="drop")
    further = [] if path is None else [c for c in pl.read_ipc_schema(path) if c != "prompt"]
    rows: pl.DataFrame | None = leaving.chat_rows(path, job, tokenizer, min(limit, settings.max_length or limit), ("prompt",), nullable=further)
    return rows


def need_prompts(rows: pl.DataFrame, needed: int, *, per: str, settings: ChatTrainer, job: TrainJob) -> None:
    """Raise TrainingError where the prompts do not make one step, and note those that each epoch leaves over: the library takes whole steps only."""
    if rows.height < needed:
        raise TrainingError(
            f"{settings.label}: a step of batch_size={settings.batch_size} needs {needed} prompts{per}, and there are {rows.height}. "
            "Give more prompts, or a smaller batch_size."
        )
    if over := rows.height % needed:
        job.note(f"{settings.label}: {over} of {rows.height} prompts are left over in each epoch, other ones each time: a step takes {needed} of them.")


def _reads(reward: Any) -> dict[str, bool]:
    """Names of the further columns that a reward reads, and whether it cannot do without."""
    if isinstance(reward, LLMReward):
        return {c: True for c in template_columns(reward.prompt) if c not in ("prompt", "completion")}
    if isinstance(reward, Verifier):
        return dict.fromkeys(reward.columns[1:], True)
    if not callable(reward):
        return {}
    named = (p for p in inspect.signature(reward).parameters.values() if p.kind not in (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL))
    return {p.name: p.default is inspect.Parameter.empty for p in named if p.name not in ("prompts", "completions")}


def _name(reward: Any) -> str:
    return str(getattr(reward, "__name__", type(reward).__name__))


def texts(parts: Sequence[Any]) -> list[str]:
    """Prompts and completions as texts: the contents of the last message of a chat."""
    return [p if isinstance(p, str) else str(p[-1]["content"]) for p in parts]


def library_rewards(settings: PolicyTrainer, job: TrainJob) -> list[Callable[..., list[float | None]]]:
    """The rewards as functions that TRL calls with prompts, completions and columns."""
    return [_for_library(name, score) for name, score in settings.scorers(job)]


def _for_library(name: str, score: Scorer) -> Callable[..., list[float | None]]:
    ours = {"completion_ids", "trainer_state", "log_extra", "log_metric", "environments"}

    def reward(prompts: Sequence[Any], completions: Sequence[Any], **columns: Any) -> list[float | None]:
        further = {k: v for k, v in columns.items() if k not in ours}
        return score(pl.DataFrame({"prompt": texts(prompts), "completion": texts(completions), **further}, strict=False))

    reward.__name__ = name
    return reward


def _scorer(settings: PolicyTrainer, reward: Any, index: int, job: TrainJob) -> tuple[str, Scorer]:
    if isinstance(reward, LLMReward):
        return f"judge_{index}", lambda rows: _judged(reward, rows, job)
    if callable(reward):
        return _name(reward), lambda rows: _called(reward, _name(reward), rows, settings.label)
    return f"reward_model_{index}", _model_scorer(settings, reward)


def _called(function: Callable[..., Any], name: str, rows: pl.DataFrame, who: str) -> list[float | None]:
    """A user's function over a batch."""
    given = {"prompts": rows["prompt"].to_list(), "completions": rows["completion"].to_list()}
    given |= {c: rows[c].to_list() for c in rows.columns if c not in ("prompt", "completion")}
    named = inspect.signature(function).parameters
    takes_all = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in named.values())
    try:
        made = list(function(**{k: v for k, v in given.items() if takes_all or k in named}))
        values = [None if v is None else float(v) for v in made]
    except DreamframeError:
        raise
    except Exception as exc:  # the user's own code: whatever it raises is named and passed on
        raise TrainingError(f"{who}: the reward {name} failed: {type(exc).__name__}: {exc}") from exc
    if len(values) != rows.height:
        raise TrainingError(f"{who}: the reward {name} gave {len(values)} numbers for {rows.height} completions.")
    if wrong := [v for v in values if v is not None and not math.isfinite(v)]:
        raise TrainingError(f"{who}: the reward {name} gave {wrong[0]}; rewards are finite numbers, or None for no opinion.")
    return values


def _judged(reward: LLMReward, rows: pl.DataFrame, job: TrainJob) -> list[float | None]:
    """A judge's numbers; those that are unusable count as the average of the others."""
    assert NUMBER is not None
    question = Question(llm=reward.llm, system=reward.llm.system, sampling=reward.llm.sampling, json_schema=NUMBER.json_schema)
    answers = job.ask(question, render(reward.prompt, rows).to_list())
    (low, high), values = reward.scale, []
    for answer in answers:
        try:
            value = None if answer is None else float(NUMBER.parse(answer))
        except ParseError:
            value = None
        values.append(value if value is not None and low <= value <= high else None)
    known = [v for v in values if v is not None]
    if not known:
        raise TrainingError(f"LLMReward: of {len(values)} answers of {reward.llm.label} none holds a number from {low:g} to {high:g}; it said {answers[0]!r}.")
    if len(known) < len(values):
        job.note(f"LLMReward: {len(values) - len(known)} of {len(values)} answers held no number from {low:g} to {high:g}; they count as average.")
    mean = sum(known) / len(known)
    return [mean if v is None else v for v in values]


def _model_scorer(settings: PolicyTrainer, reward: Any) -> Scorer:
    """A reward model that scores whole batches."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    at = locate(reward, who=f"{settings.label} rewards", token=settings.hub_token)
    model = load_frozen(settings, at.weights, at.adapter, AutoModelForSequenceClassification, num_labels=1)
    tokenizer = AutoTokenizer.from_pretrained(str(at.adapter or at.weights), trust_remote_code=settings.trust_remote_code, padding_side="right")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    model.config.get_text_config().pad_token_id = tokenizer.pad_token_id
    limit = getattr(model.config, "max_position_embeddings", None)

    def score(rows: pl.DataFrame) -> list[float | None]:
        read = rows.select("prompt", "completion")
        chats = as_messages(read, prompt="user", completion="assistant") if tokenizer.chat_template else read
        batch = tokenizer.pad({"input_ids": tokens(tokenizer, chats, limit=limit, ends=True)}, return_tensors="pt").to(model.device)
        with torch.inference_mode():
            return [float(v) for v in model(**batch).logits[:, 0]]

    return score
