"""Fine-tuning by OpenAI, through its own client."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import polars as pl

from dreamframe.errors import AuthenticationError, ConnectionFailedError, MissingExtraError, SchemaError, ServerError, SettingError, TrainingError
from dreamframe.models.api.certificates import named_context, untrusted
from dreamframe.models.api.proxies import proxy_of
from dreamframe.models.base import LLM, setting
from dreamframe.models.llms.openai import OpenAI
from dreamframe.models.secrets import redactor_of
from dreamframe.redaction.redactor import Redactor
from dreamframe.trainers.api import ApiTrainer, JobState
from dreamframe.trainers.base import refuse_unless
from dreamframe.trainers.chat import as_messages, as_text
from dreamframe.trainers.config_fields import package_folder
from dreamframe.trainers.roles import CHAT, Roles, assign

METHODS = ("supervised", "dpo")
SUPERVISED = ApiTrainer.ways
PAIRS = (Roles({"prompt": CHAT, "chosen": CHAT, "rejected": CHAT}),)
ELSEWHERE = (301, 302, 303, 307, 308, 404, 405)  # most likely the wrong address
ENDED = {"succeeded", "failed", "cancelled"}


@dataclass(frozen=True)
class OpenAIFineTune(ApiTrainer):
    """Fine-tune a model at OpenAI, or at a server that speaks its protocol (`base_url=`).

    Columns: `prompt, completion` or `messages`; with `method="dpo"` `prompt, chosen, rejected`. The key is `api_key` or the environment variable
    OPENAI_API_KEY, the address `base_url` or OPENAI_BASE_URL. `model.llm()` is the tuned model as a `dr.OpenAI`.

    >>> dr.OpenAIFineTune("gpt-4o-mini", epochs=2).roles({"input": "title", "output": "answer"}, pl.Schema({"title": pl.String, "answer": pl.String}))
    {'prompt': 'title', 'completion': 'answer'}
    """

    method: Literal["supervised", "dpo"] = setting("supervised")  # answers are learnt, or pairs of a better and a worse one
    batch_size: int | None = setting()  # None: the provider decides
    learning_rate_multiplier: float | None = setting()  # None: the provider decides
    beta: float | None = setting()  # of dpo
    seed: int = setting(0)  # handed to the provider

    address: ClassVar[str] = "https://api.openai.com/v1"
    address_variable: ClassVar[str] = "OPENAI_BASE_URL"
    key_variable: ClassVar[str] = "OPENAI_API_KEY"
    fields_of_job: ClassVar[frozenset[str]] = frozenset({"integrations", "hyperparameters"})
    above_zero: ClassVar[tuple[str, ...]] = ("batch_size", "learning_rate_multiplier", "beta")

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_unless(self.method, METHODS, name="method", who=self.label)
        if self.beta is not None and self.method != "dpo":
            raise SettingError("OpenAIFineTune: beta= belongs to method='dpo'.")

    def roles(self, columns: Mapping[str, str], schema: pl.Schema) -> dict[str, str]:
        return assign(columns, schema, PAIRS if self.method == "dpo" else SUPERVISED, aliases=self.aliases, extra=False, who=self.label)

    def check(self, columns: Mapping[str, str], schema: pl.Schema, *, has_validation: bool = True) -> None:
        if package_folder("openai") is None:
            raise MissingExtraError("openai", extra="openai", needed_for="dr.OpenAIFineTune")
        super().check(columns, schema, has_validation=has_validation)

    def provider(self) -> OpenAIApi:
        return OpenAIApi(self)

    def llm_of(self, name: str, **settings: Any) -> LLM:
        own = {"base_url": self.base_url, "api_key": self.api_key, "system": self.system}
        return OpenAI(name, **{**own, **settings})

    def lines(self, rows: pl.DataFrame) -> list[dict[str, Any]]:
        if self.method != "dpo":
            return super().lines(rows)
        rows = as_messages(as_text(rows), prompt="user", chosen="assistant", rejected="assistant")
        system = [{"role": "system", "content": self.system}] if self.system else []
        for column in ("chosen", "rejected"):
            if (rows[column].list.len() != 1).any():
                raise SchemaError(f"OpenAIFineTune: {column} must be one answer; as a list it has exactly one message.")
        return [
            {"input": {"messages": system + prompt}, "preferred_output": chosen, "non_preferred_output": rejected}
            for prompt, chosen, rejected in rows.select("prompt", "chosen", "rejected").iter_rows()
        ]

    def hyperparameters(self) -> dict[str, Any]:
        """What was set of them."""
        given = {"n_epochs": self.epochs, "batch_size": self.batch_size, "learning_rate_multiplier": self.learning_rate_multiplier, "beta": self.beta}
        return {**{k: v for k, v in given.items() if v is not None}, **self.further().get("hyperparameters", {})}


class OpenAIApi:
    """OpenAI's files and fine-tuning jobs. Requests that make something are sent once each: the caller looks before it sends again."""

    def __init__(self, settings: OpenAIFineTune) -> None:
        import openai

        self.settings = settings
        self.hides = redactor_of([settings])
        base_url = settings.base_url or settings.address  # never what the environment says by now
        self.client = openai.OpenAI(api_key=settings.key(), base_url=base_url, max_retries=0, timeout=120.0, http_client=http_client(openai, base_url))

    def find_file(self, name: str) -> str | None:
        with told(self.hides):
            found = (f for f in self.client.files.list(purpose="fine-tune") if f.filename == name and f.status != "error")
            return next((f.id for f in found), None)

    def upload(self, name: str, content: bytes) -> str:
        with told(self.hides):
            return str(self.client.files.create(file=(name, content), purpose="fine-tune").id)

    def is_ready(self, file: str) -> bool:
        with told(self.hides):
            seen = self.client.files.retrieve(file)
        if seen.status == "error":
            raise TrainingError(f"OpenAIFineTune: the provider cannot read file {file}: {seen.status_details or 'no reason given'}.")
        return bool(seen.status == "processed")

    def find_job(self, mark: str, training: str) -> str | None:  # noqa: ARG002  the mark says more
        with told(self.hides):
            for job in self.client.fine_tuning.jobs.list(limit=100):
                if (job.metadata or {}).get("dreamframe") == mark and job.status not in ("failed", "cancelled"):
                    return str(job.id)
        return None

    def start(self, training: str, validation: str | None, mark: str) -> str:
        s = self.settings
        given = {"validation_file": validation, "suffix": s.suffix, "integrations": s.further().get("integrations")}
        method = {"type": s.method, s.method: {"hyperparameters": s.hyperparameters()}}
        with told(self.hides):
            job = self.client.fine_tuning.jobs.create(
                model=self.settings.base_name, training_file=training, method=method, seed=s.seed, metadata={"dreamframe": mark},
                **{k: v for k, v in given.items() if v is not None},
            )  # fmt: skip
        return str(job.id)

    def state(self, job: str) -> JobState:
        with told(self.hides):
            seen = self.client.fine_tuning.jobs.retrieve(job)
        status = seen.status if seen.status in ENDED else "running"
        error = f"{seen.error.code}: {seen.error.message}" if seen.error and seen.error.message else None
        return JobState(status, seen.status, seen.fine_tuned_model, error, seen.trained_tokens)

    def events(self, job: str) -> list[dict[str, Any]]:
        with told(self.hides):
            seen = list(self.client.fine_tuning.jobs.list_events(job, limit=100))
        data = [e.data for e in reversed(seen) if isinstance(e.data, dict) and "step" in e.data]
        return [{("total" if k == "total_steps" else k): v for k, v in d.items()} for d in sorted(data, key=lambda d: d["step"])]


def http_client(openai: Any, base_url: str) -> Any:
    """The connections of OpenAI's client, through the proxy and with the certificates that every other request here uses."""
    proxy = proxy_of(base_url)
    context = named_context(base_url, proxy and proxy.url)
    more = {} if context is None else {"verify": context}
    try:
        return openai.DefaultHttpxClient(proxy=None if proxy is None else proxy.url, trust_env=False, follow_redirects=False, **more)
    except ImportError as exc:
        raise MissingExtraError("socksio", extra="socks", needed_for=f"the SOCKS proxy {proxy!r}") from exc


def causes_of(exc: BaseException | None) -> Iterator[BaseException]:
    """An exception and what it came of, the last one first."""
    while exc is not None:
        yield exc
        exc = exc.__cause__ or exc.__context__


@contextmanager
def told(hides: Redactor) -> Iterator[None]:
    """The client's errors as ours, without the key: worth another try, or not."""
    import openai

    try:
        yield
    except openai.APIConnectionError as exc:
        refused = next((cause for cause in causes_of(exc) if isinstance(cause, ssl.SSLCertVerificationError)), None)
        why = untrusted(refused) if refused is not None else f"{exc} {exc.__cause__}"
        error = ConnectionFailedError(hides.text(f"OpenAI: {exc.request.url}: {why}"))
        error.stops_run = refused is not None
        raise error from hides.cause(exc)
    except openai.InternalServerError as exc:
        raise ServerError(hides.text(f"OpenAI: {type(exc).__name__}: {exc}")) from hides.cause(exc)
    except openai.RateLimitError as exc:
        if exc.code == "insufficient_quota":
            raise TrainingError(hides.text(f"OpenAIFineTune: no credit is left: {exc.message}")) from hides.cause(exc)
        raise ServerError(hides.text(f"OpenAI: {exc.message}")) from hides.cause(exc)
    except (openai.AuthenticationError, openai.PermissionDeniedError) as exc:
        raise AuthenticationError(f"OpenAI refused the key: status {exc.status_code}.") from hides.cause(exc)
    except openai.APIError as exc:
        where = f" (asked: {exc.request.method} {exc.request.url})" if getattr(exc, "status_code", None) in ELSEWHERE else ""
        raise TrainingError(hides.text(f"OpenAIFineTune: {exc.message}{where}")) from hides.cause(exc)
