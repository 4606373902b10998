"""The public names of models, prompts and trainers: what `dr.X`, `dr.llm("x/…")` and plans in JSON find. Imported when first asked for.

A new one is a row here and its file. A language model in `models/llms/<word>.py` is also `dr.llm("<word>/…")`. A preset of a server that speaks OpenAI's
protocol needs no row: every class in `models/llms/compatible.py` is public by its name, and by its `provider` for `dr.llm`.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

NAMES: Mapping[str, str] = {  # name → module
    # Language models
    "OpenAI": "models.llms.openai",
    "Anthropic": "models.llms.anthropic",
    "FunctionLLM": "models.function",
    "LiteLLM": "models.llms.litellm",
    "LlamaCpp": "models.llms.llamacpp",
    "Mistral": "models.llms.mistral",
    "Parallel": "models.parallel",
    "SmolLM2": "models.llms.smollm2",
    "Transformers": "models.llms.transformers",
    "VLLM": "models.llms.vllm",
    # Embedders
    "LlamaCppEmbedder": "models.embedders.llamacpp",
    "MiniLM": "models.embedders.minilm",
    "OpenAIEmbedder": "models.embedders.openai",
    "SentenceTransformer": "models.embedders.sentence_transformers",
    # Task models
    "HFClassifier": "models.task_models.hf",
    "LinearClassifier": "models.task_models.linear",
    "CrossEncoder": "models.task_models.trained",
    "RewardModel": "models.task_models.trained",
    "SentenceClassifier": "models.task_models.trained",
    # Prompts
    "Attribute": "prompts.attribute",
    "Chat": "prompts.chat",
    "FewShot": "prompts.few_shot",
    "Instruct": "prompts.instruct",
    "Jinja": "prompts.jinja",
    "Rag": "prompts.rag",
    # Settings of verbs
    "Cascade": "plan.steps.cascade",
    "Distil": "plan.steps.distil",
    "Nearest": "plan.steps.pair_ranks",
    # Tools that a model may call
    "Mcp": "models.tools.mcp",
    "Tool": "models.tools.tool",
    # Trainers
    "Classifier": "trainers.classifier",
    "CPO": "trainers.cpo",
    "CrossEncoderTrainer": "trainers.cross_encoder",
    "Distill": "trainers.distill",
    "DPO": "trainers.dpo",
    "GRPO": "trainers.grpo",
    "KTO": "trainers.kto",
    "LLMReward": "trainers.rewards",
    "LogisticRegression": "trainers.logistic_regression",
    "MistralFineTune": "trainers.mistral_fine_tune",
    "OpenAIFineTune": "trainers.openai_fine_tune",
    "ORPO": "trainers.orpo",
    "PPO": "trainers.ppo",
    "Reward": "trainers.reward",
    "RLOO": "trainers.rloo",
    "SentenceTransformerTrainer": "trainers.sentence_transformer",
    "Seq2Seq": "trainers.seq2seq",
    "SetFit": "trainers.setfit",
    "SFT": "trainers.sft",
    "SparseEncoderTrainer": "trainers.sparse_encoder",
}
BASES: Mapping[str, str] = {  # what your own models, steps and trainers are made from: name → module
    "LLM": "models.base",
    "Embedder": "models.embedders.base",
    "TaskModel": "models.task_models.base",
    "Trainer": "trainers.base",
    "Step": "plan.step",
    "RowStep": "plan.step",
    "step": "plan.record",
}
LLMS = "models.llms."
PRESETS = "models.llms.compatible"


def named(name: str) -> Any:
    """What a public name stands for; None for any other name.

    >>> from dreamframe.names import named
    >>> named("Groq").__name__, named("Grog")
    ('Groq', None)
    """
    if name in NAMES:
        return getattr(importlib.import_module(f"dreamframe.{NAMES[name]}"), name)
    return presets().get(name)


@cache
def presets() -> Mapping[str, type]:
    """Name → class of the servers that speak OpenAI's protocol."""
    module = importlib.import_module(f"dreamframe.{PRESETS}")
    return {name: held for name, held in vars(module).items() if isinstance(held, type) and held.__module__ == module.__name__}


def public_names() -> Iterator[str]:
    """Every name that `named` knows."""
    yield from NAMES
    yield from presets()


def providers() -> Mapping[str, str]:
    """The words that can stand before the slash of `dr.llm("x/…")` → public name."""
    own = {module.removeprefix(LLMS): name for name, module in NAMES.items() if module.startswith(LLMS)}
    return own | {str(getattr(kind, "provider", "")): name for name, kind in presets().items()}
