"""Closed choices are closed to type checkers, too: a misspelt word fails before the program is run. So do names that are not there."""

from __future__ import annotations

import ast
import dataclasses
import typing
from pathlib import Path
from typing import Any

import pytest

import dreamframe as dr
from dreamframe.trainers import cpo, grpo, kto, openai_fine_tune, setfit

CHOICES: dict[str, tuple[Any, str, str]] = {
    "join how": (dr.Frame.join, "how", "inner"),
    "join validate": (dr.Frame.join, "validate", "m:1"),
    "unique keep": (dr.Frame.unique, "keep", "last"),
    "dedup method": (dr.Frame.dedup, "method", "minhash"),
    "retrieve index": (dr.Frame.retrieve, "index", "usearch"),
    "judge swap": (dr.Frame.judge, "swap", "both"),
    "prompt on_error": (dr.Frame.prompt, "on_error", "null"),
    "filter_by on_error": (dr.Frame.filter_by, "on_error", "null"),
    "embed on_error": (dr.Frame.embed, "on_error", "null"),
    "map on_error": (dr.Frame.map, "on_error", "null"),
    "collect mode": (dr.Frame.collect, "mode", "batch"),
    "concat how": (dr.concat, "how", "diagonal"),
    "prompt expression on_error": (dr.prompt, "on_error", "drop"),
    "embed expression on_error": (dr.embed, "on_error", "drop"),
}


@pytest.mark.parametrize("case", CHOICES)
def test_a_closed_choice_is_a_literal(case: str) -> None:
    function, argument, word = CHOICES[case]
    held = typing.get_type_hints(function, localns={"Cascade": dr.Cascade, "Distil": dr.Distil})[argument]  # which the module imports where they are needed
    assert typing.get_origin(held) is typing.Literal
    assert word in typing.get_args(held)


SETTINGS = [
    *((dr.SFT, "too_long", ("truncate", "drop", "error")), (dr.SFT, "loss_on", ("completion", "assistant", "all")), (dr.SFT, "init", ("scratch",))),
    *((dr.GRPO, "loss", grpo.LOSSES), (dr.CPO, "loss", cpo.LOSSES), (dr.KTO, "loss", kto.LOSSES), (dr.SetFit, "sampling", setfit.SAMPLING)),
    (dr.OpenAIFineTune, "method", openai_fine_tune.METHODS),
]


@pytest.mark.parametrize(("trainer", "setting", "choices"), SETTINGS, ids=lambda value: value if isinstance(value, str) else getattr(value, "__name__", ""))
def test_so_is_a_closed_choice_of_a_trainer(trainer: type, setting: str, choices: tuple[str, ...]) -> None:
    (written,) = (str(f.type) for f in dataclasses.fields(trainer) if f.name == setting)  # type: ignore[arg-type]
    assert written.removesuffix(" | None") == f"Literal[{', '.join(map(repr, choices))}]"


@pytest.mark.parametrize("file", ["__init__.py", "frame/habits.py", "models/habits.py"])
def test_type_checkers_see_no_getattr(file: str) -> None:
    """With one, they would take every name of a frame, a model or the module for one that is there."""
    tree = ast.parse((Path(dr.__file__).parent / file).read_text())
    hidden = [n for n in ast.walk(tree) if isinstance(n, ast.If) and ast.unparse(n.test) == "not TYPE_CHECKING"]
    found = {id(n) for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.name in ("__getattr__", "__getitem__", "__len__", "__iter__")}
    assert found
    assert found <= {id(n) for block in hidden for n in ast.walk(block)}
