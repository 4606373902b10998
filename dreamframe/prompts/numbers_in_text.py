r"""The number that an answer gives, as an exact fraction.

Where it stands: in the last `\boxed{…}`; else after the last `####`, as in GSM8K; else the first after the last "answer is" or "answer:"; else the last of
the text. What is read: `-1,234.5`, `1.5e3`, `2 \times 10^{3}`, `3/4`, `\frac{3}{4}`, `1 1/2`, with a sign, a currency and units around it; commas (also
`{,}` and thin spaces) between groups of three digits. What stands in a box must be a number, its unit aside: `\boxed{\sqrt{2}}` and `\boxed{x+1}` are none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

MOST = 60  # digits of a number, and its largest exponent: more are nobody's answer, and take forever
SPACES = re.compile(r"\\[,;:! ]|\{,\}(?=\d{3})|[\u00a0\u2009\u202f](?=\d{3}\b)|\$|\\[$]|[€£¥*]")
WORDS = re.compile(r"\\(?:text|mathrm|textbf|mathbf|operatorname|mbox)\s*\{([^{}]*)\}")
PLAIN = rf"(?:\d{{1,3}}(?:,\d{{3}})+(?!\d)|\d{{1,{MOST}}})(?:\.\d{{1,{MOST}}})?|\.\d{{1,{MOST}}}"
FRAC = r"\\[dt]?frac\s*(?:\{\s*([+-]?\d+(?:\.\d+)?)\s*\}|(\d))\s*(?:\{\s*([+-]?\d+(?:\.\d+)?)\s*\}|(\d))"
NUMBER = re.compile(
    rf"(?<![\w.^_])(?P<sign>(?<!\d )(?<!\) )[-+−–]\s?)?(?:(?P<mixed>\d{{1,9}})?\s*(?P<frac>{FRAC})"
    rf"|(?P<whole>\d{{1,9}})\s+(?P<top>\d{{1,9}})/(?P<bottom>\d{{1,9}})(?![\d.])"
    rf"|(?P<plain>{PLAIN})(?:[eE](?P<e>[+-]?\d{{1,3}})(?!\w)|\s*(?:\\times|\\cdot|×|x|\*)\s*10\s*(?:\^|\*\*)\s*\{{?\s*(?P<ten>[+-]?\d{{1,3}})\s*\}}?)?"
    rf"(?:\s?/\s?(?P<over>{PLAIN})(?![\d/]))?)\s*(?P<percent>\\?%|percent\b|per cent\b)?"
)
SAID = re.compile(r"\banswer\s*(?:is|:|=)", re.IGNORECASE)
UNIT = re.compile(r"(?:[a-zA-Z°/.\s²³]|\^\{?[23]\}?){0,40}")
DEGREES = re.compile(r"\^?\s*\{?\s*\\(?:circ|degree)\b\s*\}?")
NAMED = re.compile(r"^\s*[a-zA-Z]\w{0,9}\s*=\s*")


class Number(NamedTuple):
    """A number, and whether it is a share of a hundred."""

    value: Fraction
    is_percent: bool = False


def number_in(text: str) -> Number | None:
    r"""The number that an answer gives; None where there is none.

    >>> from dreamframe.prompts.numbers_in_text import number_in
    >>> [str(number_in(t).value) for t in (r"So \boxed{\frac{3}{4}} of 8", "5 + 3 = 8\n#### 1,234", "The answer is 6, as 2 * 3 = 6.", "It costs $12.50.")]
    ['3/4', '1234', '6', '25/2']
    """
    text = text[-20_000:]
    if (boxed := _boxed(text)) is not None:
        return _alone(boxed)
    plain = _cleaned(text)
    for part in (plain.rpartition("####")[2] if "####" in plain else "", _after_answer(plain)):
        if (found := next(_numbers(part), None)) is not None:
            return found
    last = None
    for last in _numbers(plain):  # noqa: B007
        pass
    return last


def same(a: Number, b: Number, tolerance: float) -> bool:
    """Whether two numbers are one: they differ by no more than `tolerance`. Where one of them alone is a percentage, 50% is 50 as well as 0.5."""
    room = Fraction(repr(float(tolerance)))
    scales = (Fraction(1),) if a.is_percent == b.is_percent else (Fraction(1), Fraction(1, 100))
    x, y = (a.value, b.value) if not b.is_percent or a.is_percent else (b.value, a.value)
    return any(abs(x * scale - y) <= room for scale in scales)


def _cleaned(text: str) -> str:
    return SPACES.sub("", WORDS.sub(r" \1", text))


def _boxed(text: str) -> str | None:
    """What stands in the last box, its braces matched."""
    start = max(text.rfind("\\boxed{"), text.rfind("\\fbox{"))
    if start < 0:
        return None
    start = text.index("{", start) + 1
    depth = 1
    for i in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[i], 0)
        if depth == 0:
            return text[start:i]
    return text[start:]


def _after_answer(text: str) -> str:
    at = None
    for at in SAID.finditer(text):  # noqa: B007
        pass
    return "" if at is None else text[at.end() :]


def _alone(text: str) -> Number | None:
    """The number that all of a text is, but for a name before it and a unit behind it."""
    plain = NAMED.sub("", _cleaned(text)).strip()
    found = NUMBER.match(plain)
    return None if found is None or not UNIT.fullmatch(DEGREES.sub("", plain[found.end() :]).strip()) else _value(found)


def _numbers(text: str) -> Iterator[Number]:
    for found in NUMBER.finditer(text):
        if (value := _value(found)) is not None:
            yield value


def _value(found: re.Match[str]) -> Number | None:
    """The number of a match; None for one that is none, as 1/0."""
    try:
        if found["frac"]:
            over, under = (Fraction(next(filter(None, pair))) for pair in ((found[4], found[5]), (found[6], found[7])))
            value = Fraction(found["mixed"] or 0) + over / under
        elif found["whole"]:
            value = int(found["whole"]) + Fraction(int(found["top"]), int(found["bottom"]))
        else:
            value = Fraction(found["plain"].replace(",", ""))
            if exponent := int(found["e"] or found["ten"] or 0):
                if abs(exponent) > MOST:
                    return None
                value *= Fraction(10) ** exponent
            if found["over"]:
                value /= Fraction(found["over"].replace(",", ""))
    except ZeroDivisionError:
        return None
    return Number(-value if (found["sign"] or "").strip() in ("-", "−", "–") else value, bool(found["percent"]))
