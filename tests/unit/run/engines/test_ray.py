"""The engine on Ray, as far as it is said before anything runs: settings, and what is missing. The laws and the faults start one."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace
from typing import Any

import pytest

import dreamframe as dr
from dreamframe.errors import RunError
from dreamframe.models.authority import Authority
from dreamframe.plan.step import Step
from dreamframe.run.engines.base import Segment
from dreamframe.run.engines.ray_served import Served
from dreamframe.run.engines.ray_worker import crossing
from dreamframe.run.engines.wire import segment_of


def test_where_ray_is_not_installed_the_extra_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for make in (lambda: dr.Session(None, engine="ray"), dr.RayEngine):
        with pytest.raises(dr.errors.MissingExtraError, match=r"pip install 'dreamframe\[ray\]'"):
            make()


@pytest.mark.parametrize("settings", [{"workers": 0}, {"cpus": -1}, {"replicas": 0}, {"gpus": -0.5}], ids=str)
def test_numbers_that_cannot_be_are_refused(settings: dict[str, Any]):
    pytest.importorskip("ray")
    with pytest.raises(dr.errors.SettingError, match=next(iter(settings))):
        dr.RayEngine(**settings)


def segment_over(*authorities: Authority | None) -> Segment:
    step: Step = dr.frame({"t": ["a"]}).step
    steps = []
    for n, authority in enumerate(authorities):
        made = dr.Frame(step).prompt(dr.testing.Echo(), "{t}", into=f"a{n}").step
        step = replace(made, authority=authority)
        steps.append(step)
    return Segment(tuple(steps), width=1, batch_rows=1, window=1)


@pytest.mark.parametrize("authority", [None, Authority(), Authority(("/data",))], ids=["the user's", "a stranger's", "a stranger's, who may read"])
def test_a_worker_may_reach_what_the_plan_may(authority: Authority | None):
    served = Served(0, segment_over(authority, authority), None, lambda llm: llm)  # type: ignore[arg-type]
    record = json.loads(served.text)
    read = segment_of(record, functions=served.handed, allow=record["allow"])
    assert [step.authority for step in read.steps] == [authority, authority]
    assert [step.models()[0].authority for step in read.steps] == [authority, authority]


def test_steps_that_may_reach_different_things_stay_here():
    with pytest.raises(dr.errors.PlanFormatError, match="may not reach what the others may"):
        Served(0, segment_over(None, Authority()), None, lambda llm: llm)  # type: ignore[arg-type]


class OfTwo(Exception):
    """Cannot be made again of what it says."""

    def __init__(self, a: str, b: str) -> None:
        super().__init__(f"{a} and {b}")


@pytest.mark.parametrize(
    ("exc", "kind"),
    [(ValueError("no"), ValueError), (dr.errors.SettingError("no"), dr.errors.SettingError), (OfTwo("a", "b"), RunError), (ValueError(object()), RunError)],
    ids=["plain", "ours", "of its own making", "with an object"],
)
def test_an_error_crosses_as_itself_or_by_its_words(exc: Exception, kind: type[Exception]):
    made = crossing(exc)
    assert type(made) is kind
    assert str(exc) in str(made)
