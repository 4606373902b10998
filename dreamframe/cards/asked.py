"""How the models of a plan were asked: the sampling and the other settings that decide their answers, for the cards."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

from dreamframe.cards import markdown as md
from dreamframe.models.base import LLM, ModelSettings
from dreamframe.plan.step import Step

NAMED_ELSEWHERE = {"model", "adapter", "llms", "system", "base_url", "identity", "revision", "api_key"}  # by the table of steps, or by nobody


def settings_table(step: Step, shown: Callable[[object], str]) -> list[str]:
    """Who was asked by which step, and with which settings; nothing for a plan that asks no model."""
    rows = []
    for node in step.walk():
        for model in node.models():
            told = [md.code(shown(f"{name}={value!r}"), cell=True) for name, value in settings_of(node, model)]
            if told or isinstance(model, LLM):
                rows.append((md.code(shown(node.label), cell=True), md.code(shown(model.label), cell=True), ", ".join(told) or "the model's own"))
    return ["### Settings of the models", md.table(("step", "model", "asked with"), rows)] if rows else []


def settings_of(node: Step, model: ModelSettings) -> Iterator[tuple[str, Any]]:
    """The settings that were given to the model or to the step that asks it: what is not among them is the model's own default."""
    if isinstance(model, LLM):
        sampling = getattr(node, "sampling", None)
        yield from (model.sampling if sampling is None else sampling.over(model.sampling)).given().items()
        if (n := getattr(node, "n", 1)) != 1:
            yield "n", n
    for f in dataclasses.fields(model):
        if f.name in NAMED_ELSEWHERE or f.name in model.outside_identity or f.metadata.get("runtime") or f.metadata.get("secret"):
            continue
        value = getattr(model, f.name)
        if value != f.default and value not in (None, ()):
            yield f.name, value
