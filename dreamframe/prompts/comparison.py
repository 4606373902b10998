"""Which of several texts comes first: how rows are held against one another, two at a time or a whole window."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dreamframe.errors import ParseError, TemplateError
from dreamframe.prompts.answer_schema import AnswerSchema
from dreamframe.prompts.pair import Pair
from dreamframe.prompts.templates import literal, pieces, placeholder

HOW = "Write the question first, then what is compared: 'Which is better written? {text}'."
PAIR = Pair("", "", instruction="")


def in_two(template: str, *, step: str) -> tuple[str, str]:
    """The question of a template, and what is compared, as a template of its own: what begins at the first column, or at the beginning of its line where
    the question stands on lines above. Raises TemplateError where no question comes first.

    >>> in_two("Which is better written? {text}", step="top_k_by")
    ('Which is better written?', '{text}')
    >>> in_two("Which answer helps more?\\n\\nQuestion: {q}\\nAnswer: {a}", step="top_k_by")
    ('Which answer helps more?', 'Question: {q}\\nAnswer: {a}')
    """
    parts = pieces(template, step)
    first = next((i for i, p in enumerate(parts) if p.is_column), None)
    if first is None:
        raise TemplateError(f"{step}: the prompt reads no column, and the rows are compared by what it reads. {HOW}")
    before = parts[0].text if first else ""
    above, _, line = before.rpartition("\n")
    question, label = (above, line) if above.strip() else (before, "")
    after = "".join(p.text for p in parts[first:] if not p.is_column)
    if not question.strip() or ("?" in after and "?" not in question):
        raise TemplateError(f"{step}: no question stands before the first column of the prompt. {HOW}")
    item = literal(label.lstrip()) + "".join(placeholder(p.text) if p.is_column else literal(p.text) for p in parts[first:])
    return question.strip(), item.strip()


def shown(question: str, texts: Sequence[str]) -> str:
    """The request about some texts, in the order in which they are shown.

    >>> print(shown("Which is warmer?", ["tea", "ice"]))
    Input A: tea
    <BLANKLINE>
    Input B: ice
    <BLANKLINE>
    Instruction: Which is warmer? Respond with 'Input A' or 'Input B'.
    """
    names = names_of(len(texts))
    if len(texts) == 2:
        how = f"Respond with '{PAIR.verdicts[0]}' or '{PAIR.verdicts[1]}'."
    else:
        how = f"Put all {len(texts)} inputs in order, the one that is asked for first: respond with their numbers alone, e.g. {names[1]}, {names[0]}, …"
    held = "\n\n".join(f"{PAIR.kind} {name}: {text}" for name, text in zip(names, texts, strict=True))
    return f"{held}\n\nInstruction: {question} {how}"


def names_of(n: int) -> tuple[str, ...]:
    """What the inputs of a request are called."""
    return ("A", "B") if n == 2 else tuple(str(i + 1) for i in range(n))


def texts_of(request: str) -> list[str]:
    """The texts that a request shows. A text that itself looks like a request may come in parts: this is for estimates, and for people.

    >>> texts_of(shown("Which is warmer?", ["tea", "a cup of ice", "fire"]))
    ['tea', 'a cup of ice', 'fire']
    """
    held = request.rpartition("\n\nInstruction: ")[0]
    return re.split(rf"(?:^|\n\n){PAIR.kind} \w+: ", held)[1:]


@dataclass(frozen=True)
class Order(AnswerSchema):
    """The numbers 1 to n, each once, in an order. In free text they may stand in any words: "[2] > [1] > [3]".

    >>> Order.of_size(3).parse("[2] > [3] > [1]"), Order.of_size(2).parse('{"answer": [2, 1]}')
    ([2, 3, 1], [2, 1])
    """

    @classmethod
    def of_size(cls, n: int) -> Order:
        """That of n inputs."""
        shape = {"type": "array", "items": {"type": "integer", "enum": list(range(1, n + 1))}, "minItems": n, "maxItems": n}
        return cls(shape, shape)

    @property
    def size(self) -> int:
        """How many numbers."""
        return int(self.schema["minItems"])

    def parse(self, text: str) -> Any:
        try:
            return super().parse(text)
        except ParseError:
            numbers = [int(n) for n in re.findall(r"\d+", text)]
            if _is_order(numbers, self.size):
                return numbers
            raise

    def accept(self, value: Any, *, text: str | None = None) -> Any:
        made = super().accept(value, text=text)
        if not _is_order(made, self.size):
            raise ParseError(f"not an order: {self.size} numbers are wanted, each of 1 to {self.size} once", text=text)
        return made


def _is_order(numbers: Sequence[int], n: int) -> bool:
    return sorted(numbers) == list(range(1, n + 1))
