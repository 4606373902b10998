"""The records that a plan may be made of. A text names them; nothing else of dreamframe, and nothing outside of it, is ever looked up by a name."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Mapping

from dreamframe.errors import PlanFormatError

MODULES: Mapping[str, tuple[str, ...]] = {
    "models.request": ("Sampling",),
    "plan.steps.source": ("Table", "HubTable", "HubStream", "Scan", "KeptScan"),
    "plan.steps.relational": ("Relational", "Sample", "RepeatTo", "SplitPart"),
    "plan.steps.apply": ("MapRows", "MapBatches"),
    "plan.steps.prompt": ("PromptStep",),
    "plan.steps.judge": ("Coin", "Judge"),
    "plan.steps.classify": ("Classify",),
    "plan.steps.embed": ("Embed", "Similarity"),
    "plan.steps.group": ("DedupLetters", "DedupVectors", "Cluster"),
    "plan.steps.reduce": ("Reduce",),
    "plan.steps.retrieve": ("SearchGraph", "Retrieve"),
    "plan.steps.train": ("Train",),
    "plan.steps.until": ("Until",),
    "prompts.template": ("Template",),
    "prompts.instruct": ("Instruct",),
    "prompts.few_shot": ("FewShot",),
    "prompts.rag": ("Rag",),
    "prompts.chat": ("Chat",),
    "prompts.jinja": ("Jinja",),
    "prompts.pair": ("Pair",),
    "prompts.parsers": ("YesNo", "FirstNumber", "Winner"),
    "recipes.backtranslate": ("Backtranslation",),
    "recipes.decompose": ("Decomposition",),
    "recipes.evolve": ("Evolution",),
    "recipes.self_instruct": ("SelfInstruction",),
    "models.llms.openai": ("OpenAI",),
    "models.llms.compatible": (
        "Together", "Groq", "OpenRouter", "DeepSeek", "Fireworks", "Gemini", "HFInference", "Ollama", "VLLMServer", "LlamaCppServer", "AzureOpenAI",
    ),
    "models.llms.anthropic": ("Anthropic",),
    "models.llms.mistral": ("Mistral",),
    "models.llms.litellm": ("LiteLLM",),
    "models.parallel": ("Parallel",),
    "models.llms.llamacpp": ("LlamaCpp",),
    "models.llms.smollm2": ("SmolLM2",),
    "models.llms.transformers": ("Transformers",),
    "models.llms.vllm": ("VLLM",),
    "models.embedders.openai": ("OpenAIEmbedder",),
    "models.embedders.sentence_transformers": ("SentenceTransformer",),
    "models.embedders.llamacpp": ("LlamaCppEmbedder",),
    "models.embedders.minilm": ("MiniLM",),
    "models.task_models.hf": ("HFClassifier",),
    "models.task_models.trained": ("RewardModel", "SentenceClassifier"),
    "trainers.api": ("Tuned",),
    "trainers.sft": ("SFT",),
    "trainers.seq2seq": ("Seq2Seq",),
    "trainers.classifier": ("Classifier",),
    "trainers.dpo": ("DPO",),
    "trainers.kto": ("KTO",),
    "trainers.orpo": ("ORPO",),
    "trainers.cpo": ("CPO",),
    "trainers.reward": ("Reward",),
    "trainers.rewards": ("LLMReward",),
    "trainers.grpo": ("GRPO",),
    "trainers.rloo": ("RLOO",),
    "trainers.ppo": ("PPO",),
    "trainers.distill": ("Distill",),
    "trainers.sentence_transformer": ("SentenceTransformerTrainer",),
    "trainers.cross_encoder": ("CrossEncoderTrainer",),
    "trainers.sparse_encoder": ("SparseEncoderTrainer",),
    "trainers.setfit": ("SetFit",),
    "trainers.openai_fine_tune": ("OpenAIFineTune",),
    "trainers.mistral_fine_tune": ("MistralFineTune",),
    "testing": ("Echo", "WordEmbedder", "NamingClassifier"),
}
PLACES = {name: module for module, names in MODULES.items() for name in names}


def is_record(cls: type) -> bool:
    """Whether a plan may hold values of exactly this class."""
    return cls.__module__ == f"dreamframe.{PLACES.get(cls.__name__)}"


def record_class(name: object) -> type:
    """The class that a name stands for. Raises PlanFormatError for any other name."""
    place = PLACES.get(name) if isinstance(name, str) else None
    if place is None:
        raise PlanFormatError(f"there is no record {name!r} in this dreamframe; the plan may be of a newer one: pip install -U dreamframe")
    found = getattr(importlib.import_module(f"dreamframe.{place}"), str(name))
    assert isinstance(found, type)
    assert dataclasses.is_dataclass(found)
    return found
