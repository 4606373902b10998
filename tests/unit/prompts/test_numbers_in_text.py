"""The number that an answer gives."""

from __future__ import annotations

import time
from fractions import Fraction

import pytest

from dreamframe.prompts.numbers_in_text import number_in, same

READ = {
    r"So \boxed{\frac{3}{4}} of 8": "3/4", r"\boxed{-\dfrac12}": "-1/2", r"\boxed{1\frac{1}{2}}": "3/2", r"\boxed{12\text{ cm}^2}": "12",
    r"\boxed{90^\circ}": "90", r"$\boxed{10{,}000}$": "10000", r"\boxed{x = -3}": "-3", r"\boxed{0.5 \text{ m/s}}": "1/2", r"\boxed{\$5}": "5",
    r"\boxed{1,234.50}": "2469/2", r"\boxed{3} and then \boxed{4}": "4",
    r"\boxed{\sqrt{2}}": None, r"\boxed{x+1}": None, r"\boxed{2, 3}": None, r"\boxed{3\pi}": None, r"\boxed{\frac{\sqrt{3}}{2}}": None,
    "5 + 3 = 8\n#### 1,234": "1234", "#### -5": "-5", "The answer is 6, as 2 * 3 = 7.": "6", "answer: 12 apples (of 30)": "12",
    "It costs $12.50.": "25/2", "1 1/2": "3/2", "10-5": "5", "5 - 3": "3", "= -3": "-3", "1.5e3": "1500", r"2 \times 10^{3}": "2000", "**42**": "42",
    "−7": "-7", ".5": "1/2", "first 3, then 4.": "4", "1,2": "2", "no": None, "1/0": None, "1e999": None, "": None,
}  # fmt: skip


@pytest.mark.parametrize(("text", "number"), READ.items())
def test_the_number_is_read_where_the_answer_gives_it(text: str, number: str | None):
    found = number_in(text)
    assert (None if found is None else found.value) == (None if number is None else Fraction(number))


@pytest.mark.parametrize(
    ("a", "b", "tolerance", "are_same"),
    [
        ("0.3333333", "1/3", 1e-6, True), ("0.333", "1/3", 1e-6, False), ("0.333", "1/3", 1e-2, True), ("50%", "0.5", 0, True), ("50%", "50", 0, True),
        ("0.5", "50%", 0, True), ("50%", "5%", 0, False), ("0.5%", "50%", 0, False), ("1000001", "1000000", 1e-6, False), ("1.1", "1", 0.1, True),
    ],
)  # fmt: skip
def test_numbers_are_one_within_the_tolerance_and_percentages_either_way(a: str, b: str, tolerance: float, are_same: bool):
    x, y = number_in(a), number_in(b)
    assert x is not None
    assert y is not None
    assert same(x, y, tolerance) == are_same


@pytest.mark.parametrize(
    "text", ["1,234" * 4_000, "1 " * 9_000, "9" * 20_000, "\\frac{1}" * 2_500, "- " * 9_000, "\\boxed{1" + "a" * 19_000 + "!}", "\\boxed{" * 3_000]
)
def test_no_text_takes_long(text: str):
    started = time.process_time()
    number_in(text)
    assert time.process_time() - started < 2
