"""The rules by which a verifier decides: each is given an answer as text, and what else the columns hold."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from dreamframe.errors import ParseError
from dreamframe.models.sandbox.isolation import chosen
from dreamframe.models.sandbox.limits import Limits
from dreamframe.models.sandbox.process import run
from dreamframe.prompts.answer_schema import unfenced
from dreamframe.prompts.numbers_in_text import Number, number_in, same

Right = Callable[..., bool]


def number(answer: str, gold: Any, *, tolerance: float) -> bool:
    true = _number(gold)
    found = number_in(answer)
    return found is not None and true is not None and same(found, true, tolerance)


def _number(gold: Any) -> Number | None:
    return number_in(gold if isinstance(gold, str) else repr(gold) if isinstance(gold, float) else str(gold))


def exact(answer: str, gold: Any, *, normalize: str) -> bool:
    truths = gold if isinstance(gold, list | tuple) else [gold]
    return _normal(answer, normalize) in {_normal(str(t), normalize) for t in truths if t is not None}


def _normal(text: str, how: str) -> str:
    if how == "none":
        return text
    if how == "squad":
        bare = re.sub(r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~]""", "", text.lower())
        return " ".join(re.sub(r"\b(a|an|the)\b", " ", bare).split())
    return text.strip()


def choice(answer: str, gold: Any, *, choices: str) -> bool:
    return chosen_letter(answer, choices) == (chosen_letter(str(gold), choices) or object())


def chosen_letter(text: str, choices: str) -> str | None:
    r"""The choice that an answer names: in the last `\boxed{…}`, else after the last "answer is" or "answer:", else the last that stands alone."""
    letter = f"[{re.escape(choices)}]"
    alone = re.compile(rf"(?<![\w'’])\(?\*{{0,2}}({letter})\*{{0,2}}\)?(?![\w'’])")
    boxed = re.findall(rf"\\boxed\{{\s*(?:\\text\{{)?\s*\(?({letter})\)?", text)
    said = re.findall(rf"\banswer\s*(?:is|:|=)[\s:*]*(?:option|choice)?\s*\(?\*{{0,2}}({letter})(?![\w'’])", text, re.IGNORECASE)
    found = boxed or [s for s in said if s in choices] or alone.findall(text)
    if not found and text.strip().strip("().").upper() in set(choices):
        return text.strip().strip("().").upper()
    return str(found[-1]) if found else None


def regex(answer: str, *, pattern: str) -> bool:
    return re.search(pattern, answer) is not None


def json_(answer: str, *, schema: Any) -> bool:
    if schema is not None:
        try:
            schema.parse(answer)
        except ParseError:
            return False
        return True
    try:
        json.loads(unfenced(answer))
    except (ValueError, RecursionError):
        return False
    return True


def code(answer: str, tests: Any = None, *, timeout: float, memory: int) -> bool:
    text = "\n".join(t for t in tests if t is not None) if isinstance(tests, list | tuple) else tests
    return run(answer, tests=text, limits=Limits(timeout_s=timeout, memory=memory), walls=chosen().walls).ok


def sql(answer: str) -> bool:
    import sqlite3

    text = unfenced(answer).strip()
    base = sqlite3.connect(":memory:")
    try:
        base.execute(f"EXPLAIN {text.rstrip().removesuffix(';')}").close()
    except sqlite3.OperationalError as exc:  # what is not there, as no table is, is no error of syntax
        return "syntax error" not in str(exc) and "incomplete input" not in str(exc) and "unrecognized token" not in str(exc)
    except (sqlite3.Error, sqlite3.Warning, ValueError):  # several statements, NUL
        return False
    finally:
        base.close()
    return bool(text)


RULES: Mapping[str, Right] = {"number": number, "exact": exact, "choice": choice, "regex": regex, "json": json_, "code": code, "sql": sql}
