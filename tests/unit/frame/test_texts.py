"""Half of a surrogate pair is no character: a plan that would send one fails on its line, and names where it stands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import dreamframe as dr

HALF = "x\ud800"
ECHO = dr.testing.Echo()
ROWS = dr.frame({"text": ["tea"], "t": ["rain"]})

WRITTEN: dict[str, tuple[Callable[[], Any], str]] = {
    "a template": (lambda: ROWS.prompt(ECHO, HALF + "{text}"), "^prompt: the prompt holds half"),
    "an expression": (lambda: ROWS.select(dr.prompt(ECHO, HALF + "{text}")), "^prompt: the prompt holds half"),
    "an instruction": (lambda: ROWS.prompt(ECHO, dr.Instruct(HALF, input="text"), name="say"), "^say: the prompt holds half"),
    "a chat": (lambda: ROWS.prompt(ECHO, dr.Chat([("user", HALF + "{text}")])), "^prompt: the prompt holds half"),
    "Jinja": (lambda: ROWS.prompt(ECHO, dr.Jinja(HALF + "{{ text }}")), "^prompt: the prompt holds half"),
    "system=": (lambda: ROWS.filter_by(ECHO, "{text}", system=HALF), "^filter_by: system= holds half"),
    "system= of a model": (lambda: ROWS.prompt(dr.OpenAI("m", system=HALF), "{text}"), "^prompt: system= of m holds half"),
    "stop=": (lambda: ROWS.prompt(ECHO, "{text}", stop=["a", HALF]), "^prompt: sampling holds half"),
    "a model": (lambda: ROWS.prompt(dr.OpenAI(HALF), "{text}"), "^prompt: model of the model holds half"),
    "labels": (lambda: ROWS.classify(ECHO, ["a", HALF], "text"), "^classify: schema= holds half"),
    "labels of a schema": (lambda: ROWS.prompt(ECHO, "{text}", schema=[HALF, "b"]), "^prompt: schema= holds half"),
    "a criterion": (lambda: ROWS.score(ECHO, {HALF: "polite"}, "text"), "^(score|prompt): schema= holds half"),
    "a name": (lambda: ROWS.prompt(ECHO, "{text}", name=HALF), "name= holds half"),
    "into=": (lambda: ROWS.prompt(ECHO, "{text}", into=HALF), "^prompt|half of a surrogate pair"),
    "a column": (lambda: ROWS.rename({"text": HALF}), "half of a surrogate pair|surrogates not allowed"),
    "a map": (lambda: ROWS.map(lambda row: row, schema={HALF: str}), "half of a surrogate pair|surrogates not allowed"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRITTEN)
def test_it_is_named_where_it_was_written(name: str):
    write, said = WRITTEN[name]
    with pytest.raises((dr.errors.SettingError, dr.errors.PlanError), match=said):
        write()


def test_whole_characters_of_every_plane_are_sent(session: dr.Session):
    assert ROWS.prompt(ECHO, "🍵 \U00020000 {text}", system="🍵").collect()["answer"].to_list() == ["🍵 \U00020000 tea"]
