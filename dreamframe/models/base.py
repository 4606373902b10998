"""Settings of a language model, and what a client of one must do. One provider a file beside this one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar, Protocol, Self

from dreamframe.errors import DreamframeError, SettingError
from dreamframe.models.edges import Trained, as_edge, numbered, with_edges
from dreamframe.models.measure import Measure
from dreamframe.models.prices import FREE, Price
from dreamframe.models.provenance import Provenance, model_provenance
from dreamframe.models.reach import Reach
from dreamframe.models.request import Completion, Request, Sampling

SAMPLING_FIELDS = tuple(f.name for f in fields(Sampling))


@dataclass(frozen=True)
class Limits:
    """How the calls of one client are limited and tried again. A client that has an attribute `limits` is asked within them."""

    timeout_s: float | None = None  # hard deadline of one call, from sending to the last byte
    attempts: int = 8  # tries of one request; "not now" (429) does not count as one
    backoff_s: float = 0.5  # before the second try; doubled before each further one
    rpm: float | None = None  # calls a minute, if known; otherwise found out from refusals
    tpm: float | None = None  # tokens a minute, if known
    name: str | None = None  # of `rpm` and `tpm`: processes on one session folder keep those of one name together; None: they are this client's own


class Client(Protocol):
    """A live connection to a model, or its loaded weights. Made inside the event loop, when first needed; never part of a plan."""

    @property
    def concurrency(self) -> int:
        """Requests that may be in flight at once."""
        ...

    async def complete(self, request: Request) -> Completion:
        """Ask once. Raises a CallError: transient ones are tried again by the caller, which owns retries, limits and deadlines."""
        ...

    async def close(self) -> None:
        """Give back connections, threads and memory."""
        ...


@dataclass(frozen=True)
class Artefact:
    """A trained model on disk. Its key is the settings and the content of the rows it was trained on; the path is not identity."""

    path: str = field(metadata={"runtime": True})
    key: str

    def key_fields(self) -> Mapping[str, object]:
        return {"key": self.key}


def setting(default: Any = None, *, is_later: bool = False) -> Any:
    """A field that is part of a model's identity (the default for every field). `is_later`: a trainer was given it later, and while it is None it is no
    part, so that what was kept before is found."""
    return field(default=default, kw_only=True, metadata={"is_later": True} if is_later else None)


def steering(default: Any = None, *, written_as: str | None = None) -> Any:
    """A field that steers how fast or where, never what: not part of the identity. `written_as` is its name in plans, where it once had another."""
    return field(default=default, kw_only=True, metadata={"runtime": True, **({"written_as": written_as} if written_as else {})})


def secret(default: Any = None) -> Any:
    """A field that is never hashed, printed or written."""
    return field(default=default, kw_only=True, repr=False, compare=False, metadata={"runtime": True, "secret": True})


@dataclass(frozen=True)
class ModelSettings(Reach, ABC):
    """Settings of anything that is asked row by row (a language model, an embedder, a classifier): a frozen value that holds no connection, no weights
    and no key until it is used.

    A subclass adds its own fields (`setting()` for identity, `steering()` for how, `secret()` for keys), names its `provider`, and opens a client.
    """

    model: Any

    provider: ClassVar[str] = "model"
    version: ClassVar[int] = 1
    outside_identity: ClassVar[tuple[str, ...]] = ()  # fields that are part of each question instead

    def __post_init__(self) -> None:
        """A subclass checks its settings here, and calls this one's first."""
        with_edges(self)

    def identity_fields(self) -> Mapping[str, object]:
        """What decides the answers besides the request: provider and every field that is neither runtime nor part of the question.

        Whoever overrides it calls it first: weights are read for it, and those of a plan that was read must be ones that it may read.
        """
        self.check_places()
        kept = (f.name for f in fields(self) if f.name not in self.outside_identity and not f.metadata.get("runtime"))
        return {"provider": self.provider, "version": self.version, **{name: getattr(self, name) for name in kept}}

    def key_fields(self) -> Mapping[str, object]:
        """What a step's fingerprint sees of this model. Edges of the plan are keyed through the plan."""
        edges = self.edges()
        return {k: numbered(v, edges) if isinstance(v, Trained) else v for k, v in self.identity_fields().items()}

    @classmethod
    def of_plan(cls, fields: Mapping[str, Any]) -> Self:
        """The settings that a plan, read from JSON, tells of."""
        return cls(**fields)

    def edges(self) -> tuple[Trained, ...]:
        """The lazy models that must be trained before this one can be asked."""
        return tuple(v for f in fields(self) if isinstance(v := as_edge(getattr(self, f.name)), Trained))

    def resolve(self, trained: Callable[[Trained], Artefact]) -> Self:
        """The same settings with each lazy model replaced by what it was trained into."""
        changed: dict[str, Any] = {f.name: trained(v) for f in fields(self) if isinstance(v := as_edge(getattr(self, f.name)), Trained)}
        return replace(self, **changed) if changed else self

    def matching(self, asked: ModelSettings) -> ModelSettings | None:
        """Settings of this process for those that another one asks, if it asks these: what does not cross (a client, a key) is on these."""
        return self if dict(self.identity_fields()) == dict(asked.identity_fields()) else None

    def pinned(self) -> Self:
        """The same settings, pinned to the weights that they name as those are now: see `OfWeights`. Themselves where nothing can be replaced."""
        return self

    def check_weights(self) -> None:  # most kinds have none on this machine
        """Raise SourceChangedError where the weights are no longer what the settings are pinned to."""

    @property
    def label(self) -> str:
        """The short name that explain() and progress show."""
        return str(self.model)

    def provenance(self) -> tuple[Provenance, ...]:
        """What this model is, for the cards: its licence and citation where they are known, its provider's terms. A model of the plan has none."""
        if self.edges() or isinstance(self.model, Artefact):
            return ()
        hosted = hasattr(self, "base_url")
        return (model_provenance(str(self.model), provider=self.provider, is_hosted=hosted, revision=getattr(self, "revision", None)),)

    @property
    def price(self) -> Price | None:
        """What its calls cost; nothing in this process. None where nobody knows."""
        return FREE

    def missing(self) -> tuple[DreamframeError, ...]:
        """What this machine lacks to ask it: libraries, packages with weights, a key. Opens and loads nothing."""
        return ()

    def no_device(self) -> DreamframeError | None:
        """The error of a device that it names and that is not in the machine which loads it. Opens and loads nothing."""
        return None

    @abstractmethod
    def pool_key(self) -> str:
        """Steps whose models have one pool key share a client, its limits and its connections. Stays in memory: it may depend on the key."""

    @abstractmethod
    def open(self) -> Client:
        """Make the client; called once per pool key and process, inside the event loop."""


@dataclass(frozen=True)
class LLM(ModelSettings):
    """Settings of a language model.

    The system prompt and the sampling are part of each question, so that giving them here or to the verb is the same.

    A model of your own is a frozen dataclass over this one, with `pool_key()` and `open()`: docs/how/own-model.md. Where a function will do, dr.FunctionLLM.

    >>> isinstance(dr.OpenAI("gpt-4o-mini"), dr.LLM), isinstance(dr.MiniLM(), dr.LLM)
    (True, False)
    """

    model: str
    system: str | None = setting()  # a system message before each prompt; it is not a template
    max_tokens: int | None = setting()  # tokens of an answer; None: the provider's or the model's own limit
    temperature: float | None = setting()  # 0: the likeliest answer; None: the provider's own
    top_p: float | None = setting()  # 0 to 1: drawn from the likeliest tokens that have this share together; None: the provider's own
    stop: tuple[str, ...] | str | None = setting()  # texts at which an answer ends
    seed: int | None = setting()  # handed to the provider, and part of what was asked: another seed asks anew
    logit_bias: Any = setting()  # a dict of token → bias, added to its logit
    presence_penalty: float | None = setting()  # taken off the logit of every token that was used; None: the provider's own
    frequency_penalty: float | None = setting()  # taken off it for each time that it was used; None: the provider's own
    extra: Any = setting()  # a dict of provider arguments, passed through

    provider: ClassVar[str] = "llm"
    most_labels: ClassVar[int] = 0  # of how many labels an answer can tell the probabilities, at most; 0: it has none
    weighs_labels: ClassVar[bool] = False  # whether it reads how likely the text of each label is; others choose a letter of a menu below the prompt
    outside_identity: ClassVar[tuple[str, ...]] = ("system", *SAMPLING_FIELDS)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, value in self.sampling.given().items():  # lists become tuples, dicts sorted pairs: a value is frozen
            object.__setattr__(self, name, value)
        self.check_asked(self.sampling, step=type(self).__name__)

    def check_asked(self, sampling: Sampling, *, step: str, is_held: bool = False) -> None:  # an API judges for itself
        """Raise SettingError, before anything is asked, for sampling settings that this model does not know. `is_held`: to a schema."""

    def no_probabilities(self) -> str | None:
        """Why no answer of this model tells how likely it is, as the end of a sentence; None where it does."""
        return None if self.most_labels else "gives no log-probabilities"

    def no_tools(self) -> str | None:
        """Why this model cannot be given tools to call, as the end of a sentence; None where it can."""
        return "is not one that takes tools here: OpenAI's and compatible servers, Anthropic's, Mistral's and functions (dr.FunctionLLM) do"

    def is_given(self, argument: str) -> bool:  # noqa: ARG002
        """Whether a sampling argument that a verb sets by itself reaches this model: a function may have no parameter for it."""
        return True

    def measure(self) -> Measure | None:  # what is behind an API is not known here
        """How this model counts tokens, and how many it reads; None where that is not known on this machine."""
        return None

    def count_tokens(self, text: str) -> int:
        """The tokens of a text, by the model's own tokenizer, which is loaded without the weights. Raises SettingError for a model behind an API."""
        return self._measured().count(text)

    @property
    def context_length(self) -> int | None:
        """The tokens of a request with its answer; None where there is no limit. Raises SettingError for a model behind an API.

        >>> dr.SmolLM2(n_ctx=1024).context_length
        1024
        """
        return self._measured().context

    def _measured(self) -> Measure:
        if self.edges():
            raise SettingError(f"{self.label} is trained by the plan; fit the model first, and ask model.llm() then.")
        if (found := self.measure()) is None:
            raise SettingError(f"{self.label}: its tokenizer is not on this machine, so tokens cannot be counted and its context is not known.")
        return found

    @property
    def sampling(self) -> Sampling:
        """The sampling defaults of this model; arguments of a verb go over them."""
        return Sampling.of(step=type(self).__name__, **{n: getattr(self, n) for n in SAMPLING_FIELDS})

    def key_fields(self) -> Mapping[str, object]:
        return {**super().key_fields(), "system": self.system, "sampling": self.sampling.given()}
