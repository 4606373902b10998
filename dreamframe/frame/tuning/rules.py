"""What a proposed prompt must be, and how the reflecting model is asked for one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dreamframe.errors import DreamframeError, listed
from dreamframe.plan.steps.prompt import PromptStep
from dreamframe.plan.variants import asked_of, with_text
from dreamframe.prompts.templates import placeholder

REFLECT = """I gave an assistant this prompt. It was sent once for each input:
```
<curr_param>
```

These are inputs, what the assistant answered, and how good each answer is:
```
<side_info>
```

Write a better prompt for the assistant. Find out from the inputs and from what is said of the answers what the task really is and what the answers lack. \
Put into the prompt what the assistant needs to know of the task, since it sees nothing else, and how to go about it. Say what holds for all inputs; do not \
copy single ones.

{rules}

Give the new prompt, and nothing else, between ``` and ```."""
AGAIN = """

You proposed this before:
```
{text}
```
It cannot be used: {flaw}. Propose another one that follows the rules."""


def rules_of(step: PromptStep, max_chars: int) -> str:
    """What is asked of a new text of a step's prompt, in words."""
    said = [f"It has no more than {max_chars:,} characters."]
    if is_template(step):
        names = [placeholder(c) for c in step.prompt.columns]
        held = f"{listed(names, most=40)} {'stands' if len(names) == 1 else 'stand'} for the input" if names else "it reads no input"
        said.append(
            f"It is a template: {held}, and must be in it as it is written here. It holds nothing else in braces; a brace that the assistant is to read is "
            "written {{ or }}."
        )
    else:
        said.append("The input is put beside it by itself: it holds no placeholder for it.")
    return "\n".join(f"- {one}" for one in said)


def is_template(step: PromptStep) -> bool:
    """Whether the text of the prompt says where the input stands."""
    return type(step.prompt).__name__ in ("Template", "Jinja")


def request_template(step: PromptStep, max_chars: int) -> str:
    """What the reflecting model is asked about a step, in the form that gepa fills in."""
    return REFLECT.format(rules=rules_of(step, max_chars))


def flaw(step: PromptStep, text: str, *, now: str, max_chars: int) -> str | None:
    """Why a proposed text cannot be the prompt of a step; None where it can. `now` is the text that it would replace."""
    if not text.strip():
        return "it is empty"
    if text == now:
        return "it is the prompt as it was"
    if len(text) > max_chars:
        return f"it has {len(text):,} characters, and may have {max_chars:,}"
    try:
        prompt = with_text(step.prompt, text)
        have, had = prompt.columns, step.prompt.columns
        if lost := [placeholder(c) for c in had if c not in have]:
            return f"it has lost {listed(lost)}"
        if new := [placeholder(c) for c in have if c not in had]:
            return f"it has {listed(new)}, which the prompt did not read before; a brace itself is written {{{{ or }}}}"
        asked_of(step, prompt=prompt)
    except DreamframeError as exc:
        return f"it is not a template: {exc}"
    return None


def example(inputs: Mapping[str, Any], answer: str, told: str) -> dict[str, Any]:
    """One answer as the reflecting model sees it."""
    return {"Inputs": dict(inputs), "Generated Outputs": answer, "Feedback": told}


def told_of(score: float, said: str | None, right: Sequence[Any], failed: str | None) -> str:
    """What is said of one answer: why there is none, what the metric says, and else whether it is right, and what would have been."""
    if failed is not None:
        return f"There is no answer that can be used: {failed}"
    if said is not None:
        return f"{said} (score {score:g})"
    if not right:
        return f"Score {score:g}."
    return f"Score {score:g}. The right answer is: {right[0]}" if score < 1 else "Right."
