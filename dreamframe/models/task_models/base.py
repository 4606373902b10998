"""Settings of a task model: it reads a text and answers with a label and how sure it is. One provider a file beside this one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from dreamframe.errors import ParseError
from dreamframe.models.base import ModelSettings
from dreamframe.models.request import Question


@dataclass(frozen=True)
class TaskModel(ModelSettings):
    """A frozen value like an LLM. Its client answers a request of form "input", whose prompt is the text, with `Completion(prediction(label, score))`.

    A model that can be given labels (zero-shot) finds them in its request: `labels_of(request.question)`. Others choose among their own.
    """

    model: Any

    provider: ClassVar[str] = "task model"

    @property
    def gives_many(self) -> bool:
        """Whether a text gets any number of labels, as `predictions`, rather than one."""
        return bool(getattr(self, "multi_label", False))

    def question(self, labels: Sequence[str] | None = None) -> Question:
        """What is the same for every text."""
        schema = None if labels is None else json.dumps({"enum": list(labels)}, ensure_ascii=False, separators=(",", ":"))
        return Question(llm=self, form="input", json_schema=schema)


@dataclass(frozen=True)
class Reading:
    """How a loaded task model reads texts and answers about them, as plain values: it knows no settings."""

    label: str
    hypothesis: str
    multi_label: bool
    threshold: float
    truncate: bool
    threads: int | None  # None: the cores that are free when the model is loaded


def labels_of(question: Question) -> list[str] | None:
    """The labels that a model is to choose among; None: its own."""
    return None if question.json_schema is None else list(json.loads(question.json_schema)["enum"])


def prediction(label: str, score: float) -> str:
    """A label and its probability as the text of an answer.

    >>> prediction("good", 0.75)
    '{"label": "good", "score": 0.75}'
    """
    return json.dumps({"label": label, "score": float(score)}, ensure_ascii=False)


def predictions(found: Sequence[tuple[str, float]]) -> str:
    """Any number of labels with their scores as the text of an answer.

    >>> predictions([("good", 0.75)])
    '{"labels": ["good"], "scores": [0.75]}'
    """
    return json.dumps({"labels": [label for label, _ in found], "scores": [float(score) for _, score in found]}, ensure_ascii=False)


def read_predictions(text: str | None, labels: Sequence[str] | None) -> tuple[list[str], list[float]]:
    """The labels and the scores of an answer. Raises ParseError for a label that is not among those asked for."""
    try:
        held = json.loads(text or "")
        pairs = [read_prediction(prediction(label, score), labels) for label, score in zip(held["labels"], held["scores"], strict=True)]
    except (ValueError, KeyError, TypeError) as exc:
        raise ParseError(f"not labels and scores: {exc}", text=text) from exc
    return [label for label, _ in pairs], [score for _, score in pairs]


def read_prediction(text: str | None, labels: Sequence[str] | None) -> tuple[str, float]:
    """The label and the score of an answer. Raises ParseError for a label that is not among those asked for.

    >>> read_prediction('{"label": "good", "score": 0.75}', ["good", "bad"])
    ('good', 0.75)
    """
    try:
        held = json.loads(text or "")
        label, score = str(held["label"]), float(held["score"])
    except (ValueError, KeyError, TypeError) as exc:
        raise ParseError(f"not a label and a score: {exc}", text=text) from exc
    if labels is not None and label not in labels:
        raise ParseError(f"the model answered {label!r}, which is not one of {', '.join(map(repr, labels))}", text=text)
    return label, score
