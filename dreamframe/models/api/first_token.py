"""The log-probabilities of an answer's first token, as OpenAI's three APIs and those who speak them name them: how likely each letter of a menu is."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dreamframe.errors import BadRequestError, CallError, PermanentCallError
from dreamframe.models.api.error_replies import IN_DOUBT, ErrorReply
from dreamframe.models.api.wire import Api
from dreamframe.models.menu import LETTERS, weighed
from dreamframe.models.request import Completion, Question
from dreamframe.store.ends import LENGTH, STOP

LEAST_OUTPUT = 16  # tokens: the responses API takes no lower limit
ADVICE = "so it tells no probabilities: leave probability= out, or ask another model"
Listed = Sequence[tuple[str, float]]  # token and logarithm of its probability


def asks_for(api: Api, n: int, *, as_count: bool = False) -> dict[str, Any]:
    """The settings that have the n likeliest first tokens told. `as_count`: by a server whose chat API names their number in `logprobs`.

    At temperature 1, since some servers tell them as they were scaled for drawing; which token is drawn is of no matter.
    """
    plain: dict[str, Any] = {"temperature": 1.0}
    if api == "responses":
        return {**plain, "top_logprobs": n, "include": ["message.output_text.logprobs"], "max_output_tokens": LEAST_OUTPUT}
    return {**plain, "logprobs": n} if api == "completions" or as_count else {**plain, "logprobs": True, "top_logprobs": n}


def chosen(done: Completion, found: Any, question: Question, *, api: Api, place: str) -> Completion:
    """An answer to a question with a menu, as its labels and how likely each is. One that ended badly stays as it is: it is no answer.

    Raises PermanentCallError where the reply tells nothing of its first token.
    """
    if done.finish not in (STOP, LENGTH):
        return done
    listed = _listed(found, api)
    if not listed:
        error = PermanentCallError(f"{place}: the reply has no log-probabilities, {ADVICE}.", status=200)
        error.stops_after, error.of_model = IN_DOUBT[404], True
        raise error
    done.text, done.finish, done.extra = of_letters(question.labels, listed), STOP, None  # what a server says beside it is the same told otherwise
    return done


def of_letters(labels: Sequence[str], listed: Listed) -> str:
    """The text of an answer, given its likeliest first tokens. Tokens that differ by spaces are one letter; a letter that is not listed has nothing,
    and at most what the last that is listed has (but for one, which may be listed only since it was drawn).

    >>> of_letters(["yes", "no"], [("A", math.log(0.5)), (" A", math.log(0.25)), ("Well", math.log(0.125))])
    '{"label": "yes", "score": 1.0, "all": [["yes", 1.0], ["no", 0.0]], "outside": 0.25, "unlisted": 0.25}'
    """
    shares = dict.fromkeys(LETTERS[: len(labels)], 0.0)
    for token, log in listed:
        if (letter := token.strip()) in shares:
            shares[letter] += math.exp(log)
    is_listed = {token.strip() for token, _ in listed}.issuperset(shares)
    least = math.exp(sorted(log for _, log in listed)[:2][-1])
    said = max(listed, key=lambda pair: pair[1])[0]
    return weighed(labels, list(shares.values()), unlisted=0.0 if is_listed else least, said=None if said.strip() in shares else said[:40])


def refused(error: CallError, question: Question, reply: ErrorReply) -> CallError:
    """The error of a reply; of one that says that the model tells no log-probabilities, where they were asked for, true of every row."""
    if question.labels and isinstance(error, BadRequestError) and "logprob" in reply.words.lower():
        error = BadRequestError(f"{str(error).rstrip('.')}, {ADVICE}.", status=error.status, text=error.text)
        error.stops_run = error.of_model = True
    return error


def _listed(found: Any, api: Api) -> list[tuple[str, float]]:
    """The likeliest first tokens of the answer of a reply."""
    if api == "responses":
        parts = [part for item in found["output"] if item["type"] == "message" for part in item["content"] or ()]
        return _of_content(next((part["logprobs"] for part in parts if part.get("logprobs")), ()))
    told = min(found["choices"], key=lambda c: c.get("index") or 0).get("logprobs")
    if not isinstance(told, Mapping):
        return []
    if told.get("content"):
        return _of_content(told["content"])
    top, tokens, logs = told.get("top_logprobs"), told.get("tokens"), told.get("token_logprobs")
    if top and isinstance(top[0], Mapping):
        return _numbers(top[0].items())
    return _numbers([(tokens[0], logs[0])]) if tokens and logs else []


def _of_content(tokens: Sequence[Mapping[str, Any]]) -> list[tuple[str, float]]:
    """Of the first token: those listed beside it, and itself, where it is not among them."""
    if not tokens:
        return []
    first, top = tokens[0], tokens[0].get("top_logprobs") or ()
    listed = [(t["token"], t["logprob"]) for t in top]
    return _numbers(listed if any(t["token"] == first["token"] for t in top) else [*listed, (first["token"], first["logprob"])])


def _numbers(pairs: Iterable[tuple[Any, Any]]) -> list[tuple[str, float]]:
    """Tokens and what is known of them: a number that is not one counts as nothing, as some servers send it for what cannot be."""
    return [(str(token), min(0.0, float(log))) for token, log in pairs if isinstance(log, int | float) and not math.isnan(log)]
