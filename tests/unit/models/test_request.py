"""What is kept beside an answer: what the provider added, and how the call went, as JSON whatever the one or the other is."""

from __future__ import annotations

import json

import pytest

from dreamframe.models.request import Completion


@pytest.mark.parametrize("extra", [None, "{}", "{ }", '{"logprobs": [1]}', '{"reasoning": "hm"}'])
@pytest.mark.parametrize(("attempts", "ms", "written"), [(1, 123, 0), (1, 99_500, 0), (3, 0, 7)])
def test_how_the_call_went_stands_beside_what_the_provider_added(extra: str | None, attempts: int, ms: int, written: int):
    done = Completion("a", extra=extra, n_written=written)
    done.attempts, done.ms = attempts, ms
    told = {"attempts": attempts, "ms": ms, **({"tokens_written": written} if written else {})}
    assert json.loads(done.kept_extra() or "") == {**told, **json.loads(extra or "{}")}


def test_what_is_no_object_and_what_nobody_timed_stays_as_it_is():
    assert Completion("a", extra='{"a": 1}').kept_extra() == '{"a": 1}'
    assert Completion("a").kept_extra() is None
    done = Completion("a", extra="[1]")
    done.attempts = 1
    assert done.kept_extra() == "[1]"
