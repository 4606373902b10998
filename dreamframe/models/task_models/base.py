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
    A task model of your own is a frozen dataclass over this one: docs/how/own-embedder.md.

    >>> isinstance(dr.testing.NamingClassifier(), dr.TaskModel)
    True
    """

    model: Any

    provider: ClassVar[str] = "task model"
    tells_scores: ClassVar[bool] = False  # whether its answers can tell the scores of all labels: `wants_scores(request.question)`, `with_scores`

    @property
    def gives_many(self) -> bool:
        """Whether a text gets any number of labels, as `predictions`, rather than one."""
        return bool(getattr(self, "multi_label", False))

    def question(self, labels: Sequence[str] | None = None, *, scores: bool = False) -> Question:
        """What is the same for every text. With `scores`, the answer tells those of all labels."""
        asked = {**({"enum": list(labels)} if labels is not None else {}), **({"scores": True} if scores else {})}
        schema = json.dumps(asked, ensure_ascii=False, separators=(",", ":")) if asked else None
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
    labels = None if question.json_schema is None else json.loads(question.json_schema).get("enum")
    return None if labels is None else list(labels)


def wants_scores(question: Question) -> bool:
    """Whether the answer tells the scores of all labels."""
    return question.json_schema is not None and bool(json.loads(question.json_schema).get("scores"))


def with_scores(answer: str, scores: Sequence[tuple[str, float]]) -> str:
    """A `prediction`, or `predictions`, with the scores of all labels.

    >>> with_scores('{"label": "good", "score": 0.75}', [("good", 0.75), ("bad", 0.25)])
    '{"label": "good", "score": 0.75, "all": [["good", 0.75], ["bad", 0.25]]}'
    """
    return json.dumps({**json.loads(answer), "all": [[label, float(score)] for label, score in scores]}, ensure_ascii=False)


def read_scores(text: str | None, labels: Sequence[str] | None) -> list[dict[str, Any]]:
    """The scores of all labels, the highest first. Raises ParseError where the answer does not tell them, or tells those of other labels."""
    try:
        found = [(str(label), float(score)) for label, score in json.loads(text or "")["all"]]
    except (ValueError, KeyError, TypeError) as exc:
        raise ParseError(f"not the scores of all labels: {exc}", text=text) from exc
    if labels is not None and {label for label, _ in found} != set(labels):
        raise ParseError(f"the model told scores of {', '.join(repr(label) for label, _ in found)}, and was asked for others", text=text)
    return [{"label": label, "score": score} for label, score in sorted(found, key=lambda pair: -pair[1])]


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
