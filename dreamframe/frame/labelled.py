"""What `classify` asks about labels, and what a task model in the place of a language model cannot take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dreamframe.errors import SchemaError, SettingError
from dreamframe.frame.arguments import as_llm
from dreamframe.models.task_models.base import TaskModel
from dreamframe.prompts.answer_schema import AnswerSchema
from dreamframe.prompts.labels import LabelsOf, which_label
from dreamframe.prompts.templates import placeholder

OF_TASK_MODELS = ("on_error", "name", "scores", "probability")  # settings of classify


def need_task_model(llm: TaskModel, schema: AnswerSchema | None, of_models: Mapping[str, Any], settings: Mapping[str, Any], *, step: str) -> None:
    """Raise SettingError or SchemaError for what a task model cannot take: `of_models` are settings for language models, None where they are not given."""
    for argument, value in of_models.items():
        if value is not None:
            raise SettingError(f"{step}: {llm.label} is not a language model: it reads the text, and takes no {argument}=.")
    if isinstance(schema, LabelsOf):
        raise SettingError(f"{step}: {llm.label} is given its labels when the plan is built; give a list of texts.")
    if schema is not None and not _are_texts(known := schema.schema.get("enum")):
        raise SchemaError(f"{step}: labels={known or schema.dtype} are not texts; give a list of labels such as ['good', 'bad'].")
    if unknown := [n for n in settings if n not in OF_TASK_MODELS]:
        raise SettingError.unknown(unknown[0], possible=OF_TASK_MODELS, where=f"{step} by {llm.label}")


def question_of(llm: Any, labels: Sequence[Any], column: str, *, is_weighed: bool) -> str:
    """What `classify` asks. Where it is weighed how likely each label is, most models see them in a menu below it."""
    has_menu = is_weighed and not as_llm(llm).weighs_labels
    return f"Which label fits the text?\n\nText: {placeholder(column)}" if has_menu else which_label(labels, column)


def _are_texts(labels: list[Any] | None) -> bool:
    return bool(labels) and all(isinstance(v, str) for v in labels or [])
