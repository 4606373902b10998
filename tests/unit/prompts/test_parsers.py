"""Reading answers: what counts as a yes, a number, a verdict; and records in place of the functions that they were."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

import dreamframe as dr
from dreamframe.identity.fingerprint import fingerprint
from dreamframe.plan.steps.prompt import PromptStep
from dreamframe.prompts.parsers import WERE_FUNCTIONS, FirstNumber, Winner, YesNo


@pytest.mark.parametrize(
    ("text", "number"),
    [("7", 7), ("8.5/10", 8.5), ("I'd say 3 of 10", 3), ("Score: 9.", 9), ("Hm... 4", 4), ("...4", 4), (".5", 0.5), ("-2", 2), ("10", 10)],
    ids=repr,
)
def test_the_first_number_of_an_answer_is_its_score(text: str, number: float):
    assert FirstNumber()(text) == number


@pytest.mark.parametrize("text", ["", "very good", "...", "version 1.2.3"], ids=repr)
def test_an_answer_without_a_number_has_no_score(text: str):
    with pytest.raises(ValueError, match=r"number|convert"):
        FirstNumber()(text)


@pytest.mark.parametrize(
    ("text", "verdict"),
    [("Input A", "a"), ("input b.", "b"), ("'Response A'", "a"), ("**B**", "b"), ("A", "a"), ("I think Input B, because it is wet.", "b"), ("Tie.", "tie")],
    ids=repr,
)
def test_a_verdict_is_read(text: str, verdict: str):
    assert Winner()(text) == verdict


@pytest.mark.parametrize("text", ["", "Both are fine.", "Input A is better than Input B", "Apples", "Input C", "a bee"], ids=repr)
def test_an_answer_that_names_neither_or_both_is_no_verdict(text: str):
    with pytest.raises(ValueError, match="names"):
        Winner()(text)


@pytest.mark.parametrize("text", ["", "maybe", "yes and no", "nothing", "yesterday"], ids=repr)
def test_an_answer_that_is_neither_yes_nor_no_is_not_read(text: str):
    with pytest.raises(ValueError, match="yes"):
        YesNo()(text)


ECHO = dr.testing.Echo()
FILTERED: dict[str, Callable[[dr.Frame, dr.testing.Echo], dr.Frame]] = {
    "yes_or_no": lambda df, llm: df.filter_by(llm, "yes {t}"),
    "first_number": lambda df, llm: df.rank_by(llm, "3 {t}"),
    "which_is_better": lambda df, llm: df.judge(llm, a="t", b="t", instruction="Input A", swap="never"),
}


def rows() -> dr.Frame:
    return dr.frame({"t": ["tea", "jam"]})


def asking(frame: dr.Frame) -> PromptStep:
    (found,) = (node for node in frame.step.walk() if isinstance(node, PromptStep))
    return found


@pytest.mark.parametrize("name", FILTERED)
def test_answers_that_were_read_by_a_function_are_not_asked_for_again(name: str):
    """The key of the step moves, and those of its answers do not."""

    class Quiet(dr.testing.Echo):
        def reply(self, request):
            return dr.testing.Completion("yes" if name == "yes_or_no" else "3" if name == "first_number" else "A")

    llm = Quiet()
    made = FILTERED[name](rows(), llm)
    step = asking(made)
    with dr.Session("./answers") as session:
        session.collect(step.but(parse=dr.versioned(WERE_FUNCTIONS[name].__call__, version=1, name=name)))
        assert llm.calls == 2
    with dr.Session("./answers") as session:
        assert made.collect().height == 2
        assert session.usage()["calls"] == 0
    assert llm.calls == 2


@pytest.mark.parametrize("name", FILTERED)
def test_a_plan_that_names_the_function_of_once_is_read(name: str):
    made = FILTERED[name](rows(), ECHO)
    record = json.loads(made.to_json())
    assert record["given"] == {}
    parser = WERE_FUNCTIONS[name]
    (step,) = (s for s in record["steps"] if s["step"] == "PromptStep")
    assert step["fields"]["parse"] == {"$record": type(parser).__name__, "fields": {}}
    step["fields"]["parse"] = {"$given": name}
    record["given"] = {name: {"kind": "function", "module": "dreamframe.verbs.ask", "digest": fingerprint(name)}}
    again = dr.from_json(json.dumps(record))
    assert again.step.key({}) == made.step.key({})
    record["given"][name]["module"] = "theirs"
    with pytest.raises(dr.errors.PlanFormatError, match=f"the function '{name}' of theirs"):
        dr.from_json(json.dumps(record))
