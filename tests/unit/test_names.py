"""The table of public names: every row leads to what it says, and type checkers see what `dr.X` gives."""

from __future__ import annotations

import dataclasses
import importlib
from pathlib import Path

import pytest

import dreamframe as dr
from dreamframe.names import NAMES, PRESETS, named, presets, providers, public_names
from dreamframe.plan.json.registry import MODULES, is_record
from tests.golden.files import UPDATING

TOP = Path(dr.__file__)


@pytest.mark.parametrize("name", public_names())
def test_a_public_name_is_a_class_that_plans_may_hold(name: str):
    found = named(name)
    assert getattr(dr, name) is found
    assert (found.__name__, dataclasses.is_dataclass(found), is_record(found)) == (name, True, True)


def test_no_name_stands_for_two_things():
    rows = [*NAMES, *presets(), *(name for names in MODULES.values() for name in names)]
    assert sorted(rows) == sorted(set(rows))


def test_each_word_before_a_slash_is_one_providers():
    own = [n for n, module in NAMES.items() if module.startswith("models.llms.")]
    assert sorted(providers().values()) == sorted([*own, *presets()])


def test_what_is_not_public_is_not_found():
    assert (named("Resident"), named("__path__"), named("dataclass"), named("OpenAIClient")) == (None, None, None, None)
    with pytest.raises(AttributeError, match="Did you mean 'GRPO'"):
        dr.Grok  # noqa: B018


@pytest.mark.parametrize("name", dr._LATE)
def test_a_late_name_is_found_and_stays(name: str):
    found = getattr(dr, name)
    assert found is getattr(dr, name)
    assert name in dir(dr)
    module = importlib.import_module(f"dreamframe.{dr._LATE[name]}")
    assert getattr(found, "__wrapped__", found) is getattr(module, name, module)


def test_type_checkers_see_every_public_name():
    """The block is written out of the table: run this with UPDATE_GOLDENS=1 after a new row."""
    before, begin, rest = TOP.read_text().partition("if TYPE_CHECKING:\n")
    _, end, after = rest.partition("\n\n__version__")
    wanted = [f"    from dreamframe.{module} import {name} as {name}" for name, module in NAMES.items()]
    places = {name: f".{module}".removesuffix(f".{name}") for name, module in dr._LATE.items()}  # a module stands for itself
    wanted += [f"    from dreamframe{place} import {name} as {name}" for name, place in places.items()]
    wanted.append(f"    from dreamframe.{PRESETS} import *  # noqa: F403  each preset under its own name")
    made = before + begin + "\n".join(sorted(wanted)) + end + after
    if UPDATING:
        TOP.write_text(made)
    assert TOP.read_text() == made
