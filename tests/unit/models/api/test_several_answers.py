"""Settings that have a provider make answers which are not kept are refused: they would be paid for nothing."""

from __future__ import annotations

from typing import Any

import pytest

import dreamframe as dr
from dreamframe.errors import SettingError
from tests.loopback.served import chat, prompted, run


@pytest.mark.parametrize("extra", [{"n": 4}, {"best_of": 2}], ids=str)
def test_they_are_refused_where_the_model_is_made(extra: dict[str, Any]) -> None:
    for make in (dr.OpenAI, dr.Mistral, dr.Groq):
        with pytest.raises(SettingError, match="n= to the verb"):
            make("m", extra=extra)
    assert dr.OpenAI("m", extra={"n": 1}).label == "m"


def test_and_in_a_verb_before_a_call_is_made() -> None:
    calls: list[int] = []

    def reply(n: int, body: dict[str, Any]) -> dict[str, Any]:
        calls.append(n)
        return chat("ok")

    with pytest.raises(SettingError, match="n= to the verb"):
        run(reply, verb=lambda df, llm: prompted(df, llm, extra={"n": 4}))
    assert calls == []
