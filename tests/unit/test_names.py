"""The table of public names: every row leads to what it says, and type checkers see what `dr.X` gives."""

from __future__ import annotations

import dataclasses
import importlib
from pathlib import Path

import pytest

import dreamframe as dr
from dreamframe.names import BASES, NAMES, PRESETS, named, presets, providers, public_names
from dreamframe.plan.json.registry import MODULES, is_record
from tests.golden.files import UPDATING, Golden

TOP = Path(dr.__file__)


@pytest.mark.parametrize("name", public_names())
def test_a_public_name_is_a_class_that_plans_may_hold(name: str):
    found = named(name)
    assert getattr(dr, name) is found
    assert (found.__name__, dataclasses.is_dataclass(found), is_record(found)) == (name, True, True)


def test_no_name_stands_for_two_things():
    rows = [*NAMES, *BASES, *presets(), *(name for names in MODULES.values() for name in names)]
    assert sorted(rows) == sorted(set(rows))


def test_each_word_before_a_slash_is_one_providers():
    own = [n for n, module in NAMES.items() if module.startswith("models.llms.")]
    assert sorted(providers().values()) == sorted([*own, *presets()])


def test_what_is_not_public_is_not_found():
    assert (named("Resident"), named("__path__"), named("dataclass"), named("OpenAIClient")) == (None, None, None, None)
    with pytest.raises(AttributeError, match="Did you mean 'GRPO'"):
        dr.Grok  # noqa: B018


@pytest.mark.parametrize("name", BASES)
def test_a_base_is_what_its_module_has_and_nothing_of_it_is_wrapped(name: str):
    """Models, steps and trainers of the package itself are made from it: nothing between their lines and theirs."""
    assert getattr(dr, name) is getattr(importlib.import_module(f"dreamframe.{BASES[name]}"), name)
    assert name in dir(dr)
    assert not any(hasattr(held, "is_short") for held in vars(getattr(dr, name)).values())


def test_the_public_surface_is_what_the_file_lists():
    """A name that comes or goes is a decision: UPDATE_GOLDENS=1 writes the file, and the difference is what users notice."""
    owners = {"dr": dr, "dr.Frame": dr.Frame, "dr.Model": dr.Model, "dr.Session": dr.Session, "dr.Report": dr.Report}
    owners |= {"dr.testing": dr.testing, "dr.recipes": dr.recipes, "dr.metrics": dr.metrics, "dr.verify": dr.verify}
    held = Golden("public_names.txt")
    for place, owner in owners.items():
        names = [n for n in getattr(owner, "__all__", dir(owner)) if not n.startswith("_")]
        held.check(place, "\n".join(sorted(n for n in names if isinstance(owner, type) or is_ours(getattr(owner, n)))))
    held.check_names(list(owners))


def is_ours(value: object) -> bool:
    """Whether something was made here, and not imported from a library by the module that it stands in."""
    return str(getattr(value, "__module__", None) or getattr(value, "__name__", "")).startswith("dreamframe")


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
    wanted = [f"    from dreamframe.{module} import {name} as {name}" for name, module in {**NAMES, **BASES}.items()]
    places = {name: f".{module}".removesuffix(f".{name}") for name, module in dr._LATE.items()}  # a module stands for itself
    wanted += [f"    from dreamframe{place} import {name} as {name}" for name, place in places.items()]
    wanted.append(f"    from dreamframe.{PRESETS} import *  # noqa: F403  each preset under its own name")
    made = before + begin + "\n".join(sorted(wanted)) + end + after
    if UPDATING:
        TOP.write_text(made)
    assert TOP.read_text() == made


@pytest.mark.parametrize("room", [dr.errors, dr.metrics, dr.recipes, dr.testing, dr.verify], ids=lambda room: room.__name__)
def test_completion_in_a_room_offers_what_is_made_there(room: object):
    """And not what its file imports."""
    assert [n for n in dir(room) if not n.startswith("__") and not getattr(room, n).__module__.startswith("dreamframe.")] == []
    assert not {"Any", "Literal", "Sequence", "annotations", "math"} & set(dir(room))
