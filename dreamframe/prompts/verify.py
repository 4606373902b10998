"""Verifiers, as `dr.verify` has them: frozen records that decide whether an answer is right.

One object is a column (`df.verify(v, into="ok")`, `df.with_columns(ok=v)`), a condition (`df.filter(v)`, `df.until(n, where=v)`), a reward (`dr.GRPO`,
`dr.RLOO`, `dr.PPO`: the completion stands for the first column), and a metric (`df.evaluate(v)`: the share that is right). No answer is a wrong one; a row
without the truth is null, and counts in no figure.
"""

from __future__ import annotations

import math
from typing import Any, Literal

from dreamframe.errors import SettingError, one_of
from dreamframe.models.sandbox.limits import bytes_of, seconds_of
from dreamframe.prompts.answer_schema import AnswerSchema
from dreamframe.prompts.verifier import Verifier, need_pattern

__all__ = ["Verifier", "choice", "code", "exact", "json", "number", "regex", "sql"]


def _made(kind: str, *columns: str, **options: Any) -> Verifier:
    for column in columns:
        if not isinstance(column, str):
            raise SettingError(f"verify.{kind}: {column!r} is not the name of a column; write dr.verify.{kind}('answer', …).")
    return Verifier(kind, columns, tuple(sorted(options.items())))


def number(answer: str, gold: str, *, tolerance: float = 1e-6) -> Verifier:
    r"""Right where the number that the answer gives is that of `gold`, a number or a text with one.

    It is read from the last `\boxed{…}`; else after the last `####`; else after the last "answer is" or "answer:"; else it is the last number of the text.
    Read are signs, decimals, exponents, thousands (1,234), fractions (3/4, `\frac{3}{4}`, 1 1/2), currencies and units around them; roots and π are not. Where
    one of the two alone is a percentage, 50% is 50 as well as 0.5. Numbers are equal that differ by no more than `tolerance`.

    >>> df = dr.frame({"answer": [r"So \boxed{\frac{1}{2}}", "It is 3."], "gold": ["0.5", "4"]})
    >>> df.filter(dr.verify.number("answer", "gold")).to_dicts()
    [{'answer': 'So \\boxed{\\frac{1}{2}}', 'gold': '0.5'}]
    """
    if isinstance(tolerance, bool) or not isinstance(tolerance, int | float) or not 0 <= tolerance < math.inf:
        raise SettingError(f"verify.number: tolerance={tolerance!r} is not a number of 0 or more.")
    return _made("number", answer, gold, tolerance=float(tolerance))


def exact(answer: str, gold: str, *, normalize: Literal["strip", "none", "squad"] = "strip") -> Verifier:
    """Right where the answer is the text of `gold`, or one of its list. `normalize` as of `dr.metrics.exact_match`.

    >>> dr.verify.exact("answer", "gold")(["tea ", "rain"], gold=["tea", "tea"])
    [1.0, 0.0]
    """
    one_of(normalize, ("strip", "none", "squad"), "normalize", where="verify.exact")
    return _made("exact", answer, gold, normalize=normalize)


def choice(answer: str, gold: str, *, choices: str = "ABCDE") -> Verifier:
    r"""Right where the answer names the letter of `gold`: in the last `\boxed{…}`, else after the last "answer is" or "answer:", else the last that stands
    alone. `choices` are the letters that may be named.

    >>> dr.verify.choice("answer", "gold")(["A is wrong. The answer is (B).", "C"], gold=["B", "b"])
    [1.0, 0.0]
    """
    if not isinstance(choices, str) or len(set(choices)) < 2:
        raise SettingError(f"verify.choice: choices={choices!r}; give the letters that may be named, e.g. 'ABCD'.")
    return _made("choice", answer, gold, choices=choices)


def regex(answer: str, pattern: str) -> Verifier:
    """Right where the pattern, as of Python's `re`, is found in the answer.

    >>> dr.verify.regex("answer", r"^\\d+$")(["42", "none"])
    [1.0, 0.0]
    """
    return _made("regex", answer, pattern=need_pattern(pattern, where="verify.regex"))


def json(answer: str, schema: Any = None) -> Verifier:
    """Right where the answer is JSON, also in a code fence; with `schema` (as of `df.prompt`: fields and types, JSON Schema, a pydantic model), of that shape.

    >>> dr.verify.json("answer", {"name": str, "age": int})(['{"name": "Ada", "age": 36}', '{"name": "Ada"}'])
    [1.0, 0.0]
    """
    return _made("json", answer, schema=AnswerSchema.of(schema, step="verify.json"))


def code(answer: str, tests: str | None = None, *, timeout: float = 5, memory: str | int = "512MB") -> Verifier:
    """Right where the program runs to its end, and the code in the column `tests` after it: in a process of its own, as of `df.run_code`.

    >>> dr.verify.code("answer", "tests")(["def inc(x): return x + 1"], tests=["assert inc(1) == 2"])
    [1.0]
    """
    columns = (answer,) if tests is None else (answer, tests)
    return _made("code", *columns, timeout=seconds_of(timeout, where="verify.code"), memory=bytes_of(memory, where="verify.code"))


def sql(answer: str) -> Verifier:
    """Right where the answer is one statement of SQL that parses, also in a code fence: by SQLite's own parser, whatever tables it names.

    >>> dr.verify.sql("answer")(["SELECT a FROM t WHERE b > 1", "SELECT FROM WHERE"])
    [1.0, 0.0]
    """
    return _made("sql", answer)


def __dir__() -> list[str]:
    return sorted(__all__)
