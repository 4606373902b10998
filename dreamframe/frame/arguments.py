"""What stands where in the verbs that ask: arguments that are swapped, classes in place of objects, and objects that are no model."""

from __future__ import annotations

from typing import Any

from dreamframe.errors import SettingError
from dreamframe.frame.calls import USAGE
from dreamframe.frame.model import Model
from dreamframe.models.base import LLM, ModelSettings
from dreamframe.models.embedders.base import Embedder
from dreamframe.models.habits import called, described
from dreamframe.models.llms.names import llm as named_llm
from dreamframe.models.task_models.base import TaskModel
from dreamframe.names import providers
from dreamframe.prompts.base import Prompt
from dreamframe.trainers.base import Trainer

LANGUAGE_MODEL = "give one such as dr.OpenAI('gpt-4o-mini'), its name 'openai/gpt-4o-mini', or what df.train gave"


def is_model(value: object) -> bool:
    """Whether a value is a model, a class of models, what df.train gave, or a model's name."""
    if isinstance(value, str):
        return "/" in value and "{" not in value and value.partition("/")[0] in providers()
    return isinstance(value, (ModelSettings, Model)) or (isinstance(value, type) and issubclass(value, ModelSettings))


def need_order(verb: str, model: object, *others: object) -> None:
    """Raise SettingError where a model stands among the other arguments of a verb, or a prompt in the model's place."""
    if is_model(model):
        return
    if any(map(is_model, others)) or isinstance(model, Prompt) or (isinstance(model, str) and ("{" in model or " " in model.strip())):
        raise SettingError(f"{verb}: {described(model)} stands where the model belongs. Write {USAGE[verb]}.")


def need_column(verb: str, column: object) -> None:
    """Raise SettingError where something else stands in the place of a column's name."""
    if not isinstance(column, str):
        raise SettingError(f"{verb}: {described(column)} stands where the name of a column belongs. Write {USAGE[verb]}.")


def as_llm(llm: LLM | Model | str, *, verb: str = "prompt") -> LLM:
    """Every verb takes a model, its name (e.g. "openai/gpt-4o-mini"), or one that a plan trains. Raises SettingError for anything else."""
    if isinstance(llm, str | Model):
        return named_llm(llm) if isinstance(llm, str) else llm.llm()
    if isinstance(llm, LLM):
        return llm
    raise SettingError(f"{verb}: {described(llm)} is not a language model{_instead(llm)}")


def _instead(value: Any) -> str:
    """What to do with what is no language model."""
    if isinstance(value, type):
        return f".{called(value)}"
    if isinstance(value, Embedder):
        return f", but makes vectors: {USAGE['embed']}. To ask, {LANGUAGE_MODEL}."
    if isinstance(value, TaskModel):
        return f", but tells labels: {USAGE['classify']}. To ask, {LANGUAGE_MODEL}."
    if isinstance(value, Trainer):
        return f", but makes one: {USAGE['train']}. What that gives can be asked."
    if callable(value) and not hasattr(value, "chat"):
        return f": dr.FunctionLLM({getattr(value, '__name__', 'ask')}) makes one of a function. Or {LANGUAGE_MODEL}."
    return f"; {LANGUAGE_MODEL}."


def need_trainer(trainer: Any) -> None:
    """Raise SettingError for what is not a trainer, and for one whose base is asked over a network."""
    if not isinstance(trainer, Trainer):
        usage = f" Write {USAGE['train']}."
        raise SettingError(f"train: {described(trainer)} is not a trainer.{called(trainer) or usage}")
    base = getattr(trainer, "base", None)
    if isinstance(base, type) or (isinstance(base, ModelSettings) and hasattr(base, "base_url") and not getattr(trainer, "provider", None)):
        what = "is a class" if isinstance(base, type) else "is asked over a network, and has no weights to train here"
        raise SettingError(
            f"{trainer.label}: base={base.__name__ if isinstance(base, type) else base.label} {what}. Give a Hub id, a folder or a local model such as "
            "dr.SmolLM2(); a provider's own fine-tuning is dr.OpenAIFineTune('gpt-4o-mini') or dr.MistralFineTune."
        )
