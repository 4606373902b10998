"""What a plan may hold and hardly anybody means: said when the verb is called, at the user's own line, as a PlanWarning."""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Iterable

from dreamframe.errors import did_you_mean, listed
from dreamframe.models.base import LLM
from dreamframe.plan.hidden import SAMPLE
from dreamframe.plan.step import Step
from dreamframe.plan.steps.prompt import PromptStep
from dreamframe.prompts.base import Prompt
from dreamframe.redaction.visible import in_line

BLANK = re.compile(r"(?<![\w\\$}\]{])\{\s*[A-Za-z_]\w*\s*\}(?!\})|\{\{")  # `{name}` that nobody fills; not JSON, nor LaTeX's `\boxed{answer}`
INSTRUCTIONS = ("instruction", "criteria")  # fields of prompt values that are plain text, and no template


class PlanWarning(UserWarning):
    """A plan holds something that is allowed, and that hardly anybody means: a prompt that is the same for every row, an argument that is not used.

    It is said once, at the line that wrote it. What is meant is silenced by `warnings.filterwarnings("ignore", category=dr.PlanWarning)`.

    >>> import warnings
    >>> with warnings.catch_warnings(record=True) as said:
    ...     warnings.simplefilter("always")
    ...     _ = dr.frame({"text": ["tea"]}).prompt(dr.testing.Echo(), "Sum up {{text}}")
    >>> str(said[0].message).partition(",")[0]
    "prompt: the prompt reads no column ('text')"
    """


def warn(what: str) -> None:
    """Say it at the line of the user's that led here."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).partition(".")[0] == "dreamframe":
        frame, level = frame.f_back, level + 1
    warnings.warn(in_line(what), PlanWarning, stacklevel=level)


def warn_of_prompt(prompt: Prompt, *, step: str, below: Step | None = None, values: Iterable[str] = ()) -> None:
    """A prompt that is the same for every row, plain text that was meant as a template, and named expressions (`values`) that no template reads.

    `below` is the step whose rows are asked about; None where it is not known yet. The rows of `dr.generate` have no column to read.
    """
    if not prompt.columns and (below is None or SAMPLE not in below.schema):
        columns = [] if below is None else [c for c in below.schema if not c.startswith("__")]
        have = f" ({listed(columns)})" if columns else ""
        warn(
            f"{step}: the prompt reads no column{have}, so every row is asked the same: {prompt.summary}. Write {{name}} where a column's text belongs, in "
            f"a string without f before it{_almost(prompt)}. To ask one prompt n times: dr.generate(llm, prompt, n=...)."
        )
    for name in values:
        if name not in prompt.columns:
            read = f"it reads {listed(prompt.columns)}" if prompt.columns else "it reads no column"
            warn(f"{step}: {name}= is not used: the prompt holds no {{{name}}}; {read}.{did_you_mean(name, prompt.columns)}")
    for name in INSTRUCTIONS:
        text = getattr(prompt, name, None)
        if (found := _blank(text)) and not _was_said(name, text, below):
            warn(f"{step}: {name}= is plain text, so {found} in it is sent as it is. A prompt in which columns stand is a template: \"... {{column}} ...\".")


def warn_of_system(system: str | None, llm: LLM, *, step: str, below: Step | None = None) -> None:
    """Braces in a system prompt, the verb's or the model's own; that of a model is said at the first prompt of the plan that asks it."""
    own = system is None
    found = _blank(getattr(llm, "system", None) if own else system)
    if not found or (own and below is not None and any(getattr(s, "llm", None) is llm for s in below.walk())):
        return
    warn(
        f"{step}: system={f' of {llm.label}' if own else ''} is plain text, so {found} in it is sent as it is, the same for every row. "
        'Columns may stand in the prompt, or in the turns of dr.Chat([("system", "..."), ("user", "...")]).'
    )


def warn_of_unread(column: str, prompt: Prompt | str, *, step: str) -> None:
    """A question of the user's own about a column that does not hold the column."""
    asked = Prompt.of(prompt, step=step)
    if asked.columns and column not in asked.columns:
        warn(f"{step}: the prompt reads {listed(asked.columns)} and not {column!r}, the column that {step} is asked about. Write {{{column}}} into it.")


def warn_of_criterion(name: str, meaning: str, *, step: str) -> None:
    """Braces in what a criterion of a rubric means."""
    if found := _blank(meaning):
        warn(f"{step}: what {name!r} means is plain text, so {found} in it is sent as it is, the same for every row. With prompt= the question is a template.")


def warn_of_one_side(prompt: Prompt, left: Iterable[str], pair: Iterable[str], *, step: str) -> None:
    """A question about pairs of rows that reads one side alone: its answer is the same for every row of the other."""
    ours = set(left)
    theirs = [c for c in pair if c not in ours]
    read = set(prompt.columns)
    for side, columns in (("left", list(ours)), ("right", theirs)):
        if read and columns and not read & set(columns):
            warn(f"{step}: the prompt reads {listed(prompt.columns)} and nothing of the {side} frame ({listed(sorted(columns))}): pairs get the same answer.")


def warn_of_no_scale(*, step: str) -> None:
    """Scores that nothing holds to a scale."""
    warn(
        f"{step}: without scale= the score is the first number of the answer, whichever that is: 1 of '1. Tone is bad. Overall 8/10'. "
        "Give scale=(1, 10) and the model is held to it, or parse=, which reads the score."
    )


def warn_of_one_text(a: str, b: str, *, step: str) -> None:
    """A judge who is shown one text twice."""
    if a == b:
        warn(f"{step}: a= and b= are one column, {a!r}: a text is compared with itself.")


def warn_of_copies(asked: PromptStep, n: int, *, step: str) -> None:
    """Several samples where the model is asked to give the likeliest answer each time."""
    if n > 1 and asked.sampling.over(asked.llm.sampling).is_greedy:
        warn(f"{step}: n={n} at temperature=0 is one answer, {n} times. For {n} different ones give a temperature above 0, such as temperature=1.0.")


def warn_of_list(columns: Iterable[str], over_all: Iterable[str], *, step: str) -> None:
    """Answers that an aggregation only gathers: a model was meant to read the group, and reads each of its rows, or (`over_all`) all rows there are."""
    for name in over_all:
        warn(f"{step}: {name}= of dr.prompt is computed over all rows, and not over each group. One answer about a group: .reduce_by(llm, prompt, into=...).")
    for name in columns:
        warn(
            f"{step}: dr.prompt in .agg() asks once for each row, so {name!r} is a list of answers for each group. For one answer about a group: "
            ".reduce_by(llm, prompt, into=...). A list that is meant: dr.prompt(...).implode()."
        )


def _was_said(name: str, text: object, below: Step | None) -> bool:
    """Whether a prompt of the plan below has this text as well. Looked for only where there is something to say: plans may be long."""
    return below is not None and any(getattr(getattr(s, "prompt", None), name, None) == text for s in below.walk())


def _blank(text: object) -> str:
    """The first thing in a plain text that looks like a column's place in a template; empty where there is none."""
    found = BLANK.search(text) if isinstance(text, str) else None
    return found.group().strip() if found else ""


def _almost(prompt: Prompt) -> str:
    """What else may have gone wrong, where the text shows it: the other template language's braces."""
    text = getattr(prompt, "text", None)
    if not isinstance(text, str):
        return ""
    if type(prompt).__name__ == "Jinja":
        return "; Jinja wants {{ name }}" if _blank(text) else ""
    return "; {{name}} is a name in braces, and no column" if "{{" in text else ""
