"""What is an answer: one that ended well (store/ends.py has the words for ends), and its text without the thoughts that led to it.

Only an answer that ended in a way that is known to be good is one. Whatever a provider may call its other ends, they are never taken for an answer.
"""

from __future__ import annotations

import json
import re

import polars as pl

from dreamframe.errors import AnswerError, RefusedError, ServerError, TruncatedError
from dreamframe.store.ends import BROKEN, ENDS, FILTERED, LENGTH, REFUSED, STOP, THOUGHTS, TOOLS, end_of

MARKS = (  # around thoughts
    ("<think>", "</think>"),
    ("[THINK]", "[/THINK]"),
    ("<seed:think>", "</seed:think>"),
    ("◁think▷", "◁/think▷"),
    ("<|channel|>analysis<|message|>", "<|channel|>final<|message|>"),  # gpt-oss, where nothing takes its channels apart
)
MOST_PARTS = 100  # of thoughts: what goes on and on is not an answer
A_MARK = re.compile(r"think[>▷]|THINK\]|<\|channel\|>")
ENDED = frozenset((STOP, LENGTH, None))
TAGGED = re.compile(r"\s*<(thinking|thoughts?|reasoning|reflection|analysis|scratchpad)>(.*?</\1>)?", re.DOTALL | re.IGNORECASE)
QUOTES = frozenset("`'\"")


def check_ended(finish: str, text: str | None) -> None:
    """Raise what an answer that did not end well means: a ServerError is worth another try. Such an answer is not kept."""
    if finish == BROKEN:
        raise ServerError("the server gave up the answer half-way (finish_reason 'error')", text=text)
    if finish not in ENDS:
        raise _unknown(finish, text)


def usable(text: str | None, finish: str, *, max_tokens: int | None, may_be_empty: bool = False) -> str:
    """The text of an answer, whole or cut. Raises RefusedError, TruncatedError or AnswerError where there is none.

    `may_be_empty`: an empty text may be right, since the reader of the text will judge, or since stop= may have cut all of it.
    """
    if finish == LENGTH and not (text and text.strip()):
        spent = f"max_tokens={max_tokens} were" if max_tokens else "the model's own limit of tokens was"
        raise TruncatedError(f"{spent} spent before the answer began, as on thinking; raise max_tokens=", text=text)
    if finish not in (STOP, LENGTH) or text is None or not (text or may_be_empty):
        raise _no_answer(finish, text)
    return text


def are_plain(answers: pl.DataFrame) -> bool:
    """Whether each answer of a batch (null where none was asked for) is one that `usable` takes as it is, and whole."""
    finishes, texts = answers.get_column("finish").to_list(), answers.get_column("text").to_list()  # a batch is small: polars' expressions cost more
    return all(f is None or (f == STOP and t) for f, t in zip(finishes, texts, strict=True))


def _no_answer(finish: str, text: str | None) -> AnswerError:
    if finish == TOOLS:
        return RefusedError(f"the model called a tool instead of giving an answer (finish_reason {finish!r})", text=text)
    if finish == THOUGHTS:
        what = "the model gave thoughts and no answer (finish_reason 'stop'); if the server put the answer among them, turn its reasoning parser off"
        return RefusedError(what, text=text)
    if finish in (FILTERED, REFUSED):
        return RefusedError(f"the model gave no answer (finish_reason {finish!r})", text=text)
    if finish in (STOP, LENGTH):
        return RefusedError(f"the model gave no answer (finish_reason {finish!r}, {'no text' if text is None else 'an empty text'})", text=text)
    return _unknown(finish, text)


def _unknown(finish: str, text: str | None) -> AnswerError:
    return AnswerError(f"finish_reason {finish!r} does not say that the answer is whole, so it is not taken for one", text=text)


# Thoughts


def without_thoughts(text: str) -> tuple[str, str | None]:
    """An answer and the thoughts before it; None where it has no thoughts. Thoughts that never end leave no answer.

    Templates that open the thoughts in the prompt leave only their end in the text. Marks within quotes, or in JSON, are spoken of and mark nothing.

    >>> without_thoughts("<think>1 to 10?</think>8"), without_thoughts("1 to 10?</think> 8"), without_thoughts("Write `</think>`.")
    (('8', '1 to 10?'), ('8', '1 to 10?'), ('Write `</think>`.', None))
    """
    if not has_mark(text):
        return text, None
    thoughts: list[str] = []
    rest = text
    while (parts := _parted(rest)) is not None:
        thoughts.append(parts[0].strip())
        rest = parts[1].lstrip() if len(thoughts) < MOST_PARTS else ""
    return (rest, "\n\n".join(filter(None, thoughts))) if thoughts else (text, None)


def thoughts_in(answers: pl.DataFrame) -> list[str | None]:
    """The thoughts of kept answers (columns `text` and `extra`); None where there are none. Earlier sessions kept them within the text."""
    found: list[str | None] = []
    for text, extra in answers.select("text", "extra").iter_rows():
        apart = json.loads(extra).get("reasoning") if extra and '"reasoning"' in extra and extra[0] == "{" else None
        within = without_thoughts(text)[1] if text else None
        found.append("\n\n".join(part for part in (apart, within) if isinstance(part, str) and part) or None)
    return found


def verdict(text: str) -> str:
    """What an answer says after what it thought within tags of its own: for readers that look for one word or number anywhere. Such tags may have been
    asked for, so they stay in the text itself. Raises ValueError for thoughts that never end.

    >>> verdict("<thinking>From 1 to 10?</thinking> 8")
    ' 8'
    """
    while (found := TAGGED.match(text)) is not None:
        if found.group(2) is None:
            raise ValueError("the answer never comes to the end of its thoughts")
        text = text[found.end() :]
    return text


def _parted(text: str) -> tuple[str, str] | None:
    """Thoughts at the start of a text, and what comes after them."""
    begun = text.lstrip()
    for opening, closing in MARKS:
        if begun.startswith(opening):
            begun = begun[len(opening) :]
            at = _end(begun, closing, "`")
            return (begun, "") if at < 0 else (begun[:at], begun[at + len(closing) :])
    for opening, closing in MARKS:
        if (at := _end(text, closing, QUOTES)) >= 0 and opening not in text[:at] and not _is_json(text):
            return text[:at], text[at + len(closing) :]
    return None


def has_mark(text: str) -> bool:
    """Whether a text may hold a mark of thoughts: asked of every answer, so it looks for few short words."""
    return "think>" in text or "THINK]" in text or "think▷" in text or "<|channel|>" in text


def _end(text: str, closing: str, quotes: frozenset[str] | str) -> int:
    """Where a closing mark that is not quoted begins, or -1."""
    at = text.find(closing)
    while at >= 0:
        after = at + len(closing)
        if not (at > 0 and text[at - 1] in quotes and text[after : after + 1] == text[at - 1]):
            return at
        at = text.find(closing, after)
    return -1


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def as_read(answers: pl.DataFrame) -> pl.DataFrame:
    """Kept answers as they would be kept today: earlier sessions kept the providers' own words, and thoughts within the text."""
    finishes, texts = answers.get_column("finish").to_list(), answers.get_column("text").to_list()
    if ENDED.issuperset(finishes) and A_MARK.search("\n".join(filter(None, texts))) is None:  # a batch is small: polars' expressions cost more
        return answers
    ends = [None if f is None else end_of(f) for f in finishes]
    for i, held in enumerate(texts):
        if held is not None and (said := without_thoughts(held))[1] is not None:
            texts[i] = said[0]
            ends[i] = THOUGHTS if ends[i] == STOP and not said[0].strip() else ends[i]
    return answers.with_columns(pl.Series("text", texts, dtype=pl.String), pl.Series("finish", ends, dtype=pl.String))


def clean(text: str | None) -> str | None:
    """The text without halves of surrogate pairs, which JSON can name but no file can hold."""
    if text is None or text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
