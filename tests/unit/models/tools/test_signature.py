"""What a function tells a model of its arguments, and how arguments are checked."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Any, Literal

import pydantic
import pytest

from dreamframe.errors import SettingError
from dreamframe.models.tools.signature import described_in, signature_of


class Kind(Enum):
    TEA = "tea"
    JAM = "jam"


class Place(pydantic.BaseModel):
    title: str


def find(place: Place, kind: Kind, unit: Literal["c", "f"] = "c", days: Annotated[list[int], pydantic.Field(description="of the week")] = [1]) -> str:  # noqa: B006
    """Find the weather.

    Args:
        place: where,
            on earth
        kind (Kind): of what

    Returns:
        a text
    """
    return ""


def test_hints_and_docstring_become_a_schema():
    told = signature_of(find, who="Tool find")
    assert told.description == "Find the weather."
    properties = told.schema["properties"]
    assert told.schema["required"] == ["place", "kind"]
    assert properties["days"] == {"default": [1], "description": "of the week", "items": {"type": "integer"}, "type": "array"}
    assert properties["unit"] == {"default": "c", "enum": ["c", "f"], "type": "string"}
    assert properties["place"]["description"] == "where, on earth"
    assert told.schema["$defs"]["Place"] == {"properties": {"title": {"type": "string"}}, "required": ["title"], "type": "object"}


def test_arguments_get_the_types_of_the_hints_and_defaults_stay_the_functions_own():
    assert signature_of(find, who="x").check({"place": {"title": "Bern"}, "kind": "tea"}) == {"place": Place(title="Bern"), "kind": Kind.TEA}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"kind": "tea"}, "place: Field required"),
        ({"place": {"title": "a"}, "kind": "rain"}, "kind: Input should be 'tea' or 'jam'"),
        ({"place": {"title": "a"}, "kind": "tea", "days": ["x"]}, "days.0: Input should be a valid integer"),
        ({"place": {"title": "a"}, "kind": "tea", "town": 1}, "town: Extra inputs are not permitted"),
    ],
)
def test_what_does_not_fit_is_told_in_words(given: dict[str, Any], said: str):
    with pytest.raises(ValueError, match=said):
        signature_of(find, who="x").check(given)


def any_number(*numbers: int) -> int:
    return 0


def by_object(thing: object.__class__) -> int:  # type: ignore[name-defined]
    return 0


def by_place(n: int, /) -> int:
    return 0


@pytest.mark.parametrize("function", [any_number, by_place, by_object], ids=lambda f: f.__name__)
def test_arguments_that_no_model_can_write_are_refused(function: Any):
    with pytest.raises(SettingError, match="Tool x"):
        signature_of(function, who="Tool x")


def test_docstrings_of_sphinx_are_read():
    assert described_in("Add.\n\n:param int a: one\n:param b: other\n:returns: the sum") == ("Add.", {"a": "one", "b": "other"})
