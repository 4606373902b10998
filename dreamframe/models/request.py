"""What passes between a step and a model: requests down, completions and failures up.

Everything that is the same for all rows of one step stands once, in a `Question`; a row adds its prompt. Prompts travel as one string column:
the user's text (`form="text"`), or a JSON array of chat messages (`form="messages"`), or the text to embed or classify (`form="input"`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any, Literal, NamedTuple, Protocol, TypeVar

import polars as pl

from dreamframe.errors import CallError, SettingError
from dreamframe.identity.fingerprint import canonical, fingerprint
from dreamframe.models.answer import clean, has_mark, without_thoughts
from dreamframe.redaction.secret import hidden, hidden_json, plain_json
from dreamframe.store.ends import STOP, THOUGHTS, end_of

PASSED = frozenset(  # what some engines and APIs know beside the settings that all of them share
    "top_k min_p typical_p repetition_penalty repeat_penalty no_repeat_ngram_size num_beams length_penalty min_new_tokens min_tokens best_of".split()  # noqa: SIM905
)
T = TypeVar("T")
Form = Literal["text", "messages", "input"]


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How to sample: the arguments that every chat API shares. None leaves a setting to the model's own default.

    >>> Sampling.of(temperature=0, stop=["\\n"]).given()
    {'temperature': 0.0, 'stop': ('\\n',)}
    """

    max_tokens: int | None = None  # new tokens
    temperature: float | None = None
    top_p: float | None = None
    stop: tuple[str, ...] | None = None
    seed: int | None = None
    logit_bias: tuple[tuple[str, float], ...] | None = None  # (token id or text, bias)
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    extra: str | None = None  # canonical JSON of provider arguments that are passed through as they are

    def __post_init__(self) -> None:
        if self.extra is not None:
            object.__setattr__(self, "extra", hidden_json(self.extra, "extra"))

    @classmethod
    def of(cls, *, step: str = "prompt", **settings: object) -> Sampling:
        """Make one from plain arguments: lists to tuples, dicts to sorted pairs, numbers to their types. Unknown names raise SettingError."""
        known = {f.name for f in fields(cls)}
        for name in settings:
            if name in PASSED:
                raise SettingError(f"{step}: {name}= is not a setting of every model; where a model has it, it is given as extra={{{name!r}: …}}.")
            if name not in known:
                raise SettingError.unknown(name, possible=known, where=step)
        return cls(**{name: _plain(name, value, step) for name, value in settings.items() if value is not None})

    def given(self) -> dict[str, Any]:
        """Only what was set."""
        return {f.name: v for f in fields(self) if (v := getattr(self, f.name)) is not None}

    def over(self, base: Sampling) -> Sampling:
        """These settings, with those of `base` where nothing was set here."""
        return Sampling(**{**base.given(), **self.given()})

    def extras(self) -> dict[str, Any]:
        """The pass-through arguments as a dict."""
        return dict(json.loads(self.extra)) if self.extra else {}

    @property
    def is_greedy(self) -> bool:
        """Whether equal requests have equal answers, so that they are asked once."""
        return self.temperature == 0


def _plain(name: str, value: Any, step: str) -> Any:
    try:
        if name == "stop":
            return (value,) if isinstance(value, str) else tuple(str(v) for v in value)
        if name == "logit_bias":
            return tuple(sorted((str(k), float(v)) for k, v in dict(value).items()))
        if name == "extra":
            return value if isinstance(value, str) else plain_json(value)
        if name in ("max_tokens", "seed"):
            if isinstance(value, bool) or int(value) != value:
                raise ValueError(value)
            return int(value)
        return float(value)
    except RecursionError as exc:
        raise SettingError(f"{step}: {name}= is nested too deeply to be sent.") from exc
    except (TypeError, ValueError) as exc:
        raise SettingError(f"{step}: {name}={hidden(value, name)!r} is not possible: {exc}") from exc


class Identified(Protocol):
    """A model's settings, as far as a question needs them: who is asked."""

    def identity_fields(self) -> Mapping[str, object]: ...


@dataclass(frozen=True, kw_only=True)
class Question:
    """Everything that is the same for all requests of one step: who is asked, and how."""

    llm: Identified
    system: str | None = None
    sampling: Sampling = field(default_factory=Sampling)
    json_schema: str | None = None  # canonical JSON text; the answer must be JSON that fits it
    form: Form = "text"
    labels: tuple[str, ...] = ()  # the answer tells how likely each of them is: see models/menu.py
    tools: str | None = None  # canonical JSON text of what the model may call, as OpenAI's chat API takes it: see models/tools/turns.py
    tells_thoughts: bool = False  # replies have them too: nothing else is sent, and the answer is the same

    def __post_init__(self) -> None:
        if (pinned := getattr(self.llm, "pinned", None)) is not None:  # the key and the client are of the same weights, whatever becomes of the files
            object.__setattr__(self, "llm", pinned())

    @cached_property
    def key_prefix(self) -> bytes:
        """Canonical bytes of everything but the prompt and the sample ordinal; the start of every answer key."""
        return canonical(
            {
                "llm": dict(self.llm.identity_fields()),
                "system": self.system,
                "sampling": self.sampling.given(),
                "json_schema": self.json_schema,
                "form": self.form,
                **({"labels": self.labels} if self.labels else {}),
                **({"tools": self.tools} if self.tools else {}),
            },
            is_lasting=True,
        )

    @cached_property
    def digest(self) -> str:
        """32 hex characters that name this question."""
        return fingerprint(self.key_prefix)


class Request:
    """One call: a question with a row's prompt. Plain slots: one is made for every row."""

    __slots__ = ("key", "owner", "prompt", "question", "sample")

    def __init__(self, question: Question, prompt: str, sample: int, key: bytes, owner: Any = None) -> None:
        self.question = question
        self.prompt = prompt
        self.sample = sample  # the k-th occurrence of the same request in its step
        self.key = key  # 16 bytes
        self.owner = owner  # for whom it is asked; only the run that made it looks at it

    @property
    def seed(self) -> int:
        """A seed for this request alone: 31 bits, from its key, so that an answer does not depend on the batch it fell into."""
        return int.from_bytes(self.key[:4], "big") >> 1

    def messages(self) -> list[dict[str, Any]]:
        """The chat messages: the system prompt, then the row's own."""
        system = [{"role": "system", "content": self.question.system}] if self.question.system else []
        if self.question.form == "messages":
            return system + list(json.loads(self.prompt))
        return [*system, {"role": "user", "content": self.prompt}]


class Room(NamedTuple):
    """What a server says it has left for this key, and the seconds until it has more. None: it does not say."""

    requests: int | None
    requests_s: float | None
    tokens: int | None
    tokens_s: float | None


class Completion:
    """One answer of a model. `finish` is one of the words of `dreamframe.store.ends`, or the provider's own where that is not known.

    Thoughts are never part of the text: those that stand before it, and those that came apart from it (`thoughts`), go into `extra` as "reasoning".
    """

    __slots__ = ("attempts", "data", "extra", "finish", "model", "ms", "n_cached", "n_in", "n_out", "n_reasoning", "n_written", "room", "text")

    def __init__(
        self,
        text: str | None,
        *,
        finish: str = "stop",
        data: bytes | None = None,
        n_in: int = 0,
        n_out: int = 0,
        n_cached: int = 0,
        n_reasoning: int = 0,
        n_written: int = 0,
        model: str = "",
        extra: str | None = None,
        thoughts: str | None = None,
    ) -> None:
        self.finish = STOP if finish == STOP or not finish else end_of(finish)
        if type(text) is str and has_mark(text):
            text, before = without_thoughts(text)
            thoughts = thoughts if before is None else "\n\n".join(filter(None, (thoughts, before)))
        if thoughts:
            extra = clean(json.dumps({"reasoning": thoughts, **json.loads(extra or "{}")}, ensure_ascii=False))
        if thoughts is not None and self.finish == STOP and not (text and text.strip()):
            self.finish = THOUGHTS
        self.text = text
        self.data = data  # float32 little-endian vector of an embedder
        self.n_in, self.n_out, self.n_cached, self.n_reasoning = n_in, n_out, n_cached, n_reasoning  # tokens
        self.n_written = n_written  # of n_in, what went into the provider's prompt cache: some charge more for it
        self.model = model  # what the server says it used
        self.extra = extra  # JSON text: what the provider added and somebody may want
        self.room: Room | None = None  # for those who pace the calls; not part of the answer
        self.attempts: int | None = None  # how many tries it took; whoever makes the calls says it
        self.ms = 0  # milliseconds that the last of them took

    def kept_extra(self) -> str | None:
        """What is kept beside the answer: `extra`, and how the call went where that is known. It is made for every answer, hence by hand."""
        attempts, extra, ms = self.attempts, self.extra, self.ms
        if attempts == 1 and extra is None and not self.n_written:
            return FIRST_TRIES.get(ms) or (FIRST_TRIES.setdefault(ms, went(ms, 1)) if ms < LONG_MS else went(ms, 1))
        if attempts is None or (extra and extra[0] != "{"):
            return extra
        return went(ms, attempts, self.n_written, "" if extra is None else extra[1:-1])


FIRST_TRIES: dict[int, str] = {}  # milliseconds → what is kept of most calls
LONG_MS = 10_000


def went(ms: int, attempts: int, n_written: int = 0, more: str = "") -> str:
    """How a call went, as JSON text.

    >>> went(120, 2, more='"reasoning":"hm"')
    '{"attempts":2,"ms":120,"reasoning":"hm"}'
    """
    written = f',"tokens_written":{n_written}' if n_written else ""
    return f'{{"attempts":{attempts},"ms":{ms}{written}{"," if more.strip() else ""}{more}}}'


class Failure(NamedTuple):
    """A row that has no answer, as data."""

    error: str  # the error's class name
    message: str
    request: str  # the rendered prompt, cut
    attempts: int
    text: str | None = None  # what the model or server said, cut
    keys: tuple[bytes, ...] = ()  # of the kept answers that are to blame, where it is answers

    @classmethod
    def of(cls, exc: Exception, *, request: str, attempts: int = 1, keys: tuple[bytes, ...] = ()) -> Failure:
        text = exc.text if isinstance(exc, CallError) else None
        return cls(type(exc).__name__, str(exc)[:2000], request[:2000], attempts, text[:2000] if text else None, keys)


class Replies(NamedTuple):
    """Answers in the order of the prompts: a frame with the answer columns (nulls where there is none), and the failures by position."""

    answers: pl.DataFrame  # text, data, finish
    failures: dict[int, Failure]
    samples: Sequence[int]  # the ordinal that each request was given
    keys: Sequence[bytes | None]  # of the requests
    thoughts: Sequence[str | None] = ()  # of the answers, where the question wants them told

    def keys_of(self, position: int) -> tuple[bytes, ...]:
        """What a failure names when the answer at a position cannot be read."""
        key = self.keys[position]
        return () if key is None else (key,)


class RowContext(Protocol):
    """What the run lends to a row step while it works on one batch."""

    failures: dict[int, Failure]  # reported so far, by position in the batch

    async def ask(self, question: Question, prompts: pl.Series, samples: Sequence[int] | None = None) -> Replies:
        """Answer each non-null prompt, from the journal or by asking.

        Without `samples`, equal requests are numbered in input order; a step that does so (once a batch) says `needs_order`.
        """
        ...

    async def number(self, question: Question, prompts: pl.Series) -> list[int]:
        """The numbers of the samples that `ask` would ask for, 0 for null prompts; once a batch, by a step that says `needs_order`."""
        ...

    def once(self, name: str, make: Callable[[], T]) -> T:
        """What the step makes at its first batch and keeps for the others."""
        ...

    def fail(self, position: int, failure: Failure) -> None:
        """Record that the row at `position` of this batch failed; the step's on_error= decides what becomes of it."""
        ...

    def note(self, said: str, *, warns: bool = False, **figures: float) -> None:
        """Put on record what the step decided, in words and in numbers, as its `told` does for steps whose rows say it. `warns`: the user hears of it at once,
        unless nothing is asked in this run."""
        ...

    def resolve(self, llm: Any) -> Any:
        """The same settings with lazy models replaced by the folders they were trained into."""
        ...
