"""Text for a terminal: characters that would steer it, turn its direction or hide themselves are shown as escapes."""

from __future__ import annotations

import re
from typing import TypeVar

E = TypeVar("E", bound=BaseException)
HIDDEN = re.compile(  # C0 without tab and line feed, C1, direction marks, what has no width (but the joiners that scripts need), halves of surrogates, tags
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)

HALF = re.compile("[\ud800-\udfff]")  # of a surrogate pair: no character, and nothing that UTF-8 can write


def visible(text: str) -> str:
    r"""The text with nothing in it that a terminal would obey: ESC is shown as `\x1b`. Line ends and tabs stay.

    >>> visible("red \x1b[31m")
    'red \\x1b[31m'
    """
    if text.isprintable():  # the common case, at the speed of C
        return text
    return HIDDEN.sub(lambda m: m[0].encode("unicode_escape", "surrogatepass").decode(), text.replace("\r\n", "\n"))


def in_line(text: str) -> str:
    r"""The same in one line: a line end of the text cannot look like one of ours.

    >>> in_line("a\nb")
    'a⏎b'
    """
    return visible(text).replace("\n", "⏎").replace("\t", " ")


def harmless(exc: E) -> E:
    r"""The error of another library, which may repeat names and values of rows, with nothing in its words that a terminal would obey; changed in place.

    >>> harmless(ValueError("no column \x1b[2J"))
    ValueError('no column \\x1b[2J')
    """
    exc.args = tuple(visible(said) if isinstance(said, str) else said for said in exc.args)
    return exc
