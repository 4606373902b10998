"""Fine-tuning behind an API: files go up once, one job is started, and its model is waited for. Providers stand beside this file."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol, TypeVar

import polars as pl

from dreamframe.errors import AuthenticationError, DreamframeError, NotAllowedError, SettingError, TrainingError, TransientCallError
from dreamframe.models.api.address import without_login
from dreamframe.models.api.environment import address_variable, named_address
from dreamframe.models.api.headers import check_key, plain_key
from dreamframe.models.authority import is_below, shown
from dreamframe.models.base import LLM, Artefact, Client, secret, setting, steering
from dreamframe.models.edges import Trained
from dreamframe.models.reach import under
from dreamframe.redaction.secret import hide_fields
from dreamframe.trainers.base import Chained, Trainer, json_text
from dreamframe.trainers.chat import as_messages, as_text
from dreamframe.trainers.job import TrainJob, leave_out, read_rows
from dreamframe.trainers.kinds import HOSTED, Kind
from dreamframe.trainers.odd_texts import ASSISTANT, remark
from dreamframe.trainers.roles import CHAT, MESSAGES, Roles

T = TypeVar("T")
MODEL_FILE = "model.json"
TRIES = 6  # of one request that the provider could not answer just now
FEWEST_ROWS = 10  # providers refuse a job of fewer


class JobState(NamedTuple):
    """Where a job stands."""

    status: str  # running | succeeded | failed | cancelled
    said: str  # the provider's own word
    model: str | None = None  # the name to ask the tuned model by
    error: str | None = None
    trained_tokens: int | None = None


class Provider(Protocol):
    """What an API of fine-tuning can do. Raises TransientCallError where another try may help."""

    def find_file(self, name: str) -> str | None: ...
    def upload(self, name: str, content: bytes) -> str: ...
    def is_ready(self, file: str) -> bool: ...
    def find_job(self, mark: str, training: str) -> str | None: ...
    def start(self, training: str, validation: str | None, mark: str) -> str: ...
    def state(self, job: str) -> JobState: ...
    def events(self, job: str) -> list[dict[str, Any]]: ...


@dataclass(frozen=True)
class Tuned(LLM):
    """A model that a provider tunes in this plan: settings of the provider's LLM, whose name is known once the job is done."""

    tuned: Any = setting()
    of: Any = setting()

    provider: ClassVar[str] = "tuned"

    def __post_init__(self) -> None:
        for name in ("system", *self.of.sampling.given()):
            object.__setattr__(self, name, getattr(self.of, name))
        super().__post_init__()

    def resolve(self, trained: Callable[[Trained], Artefact]) -> LLM:  # type: ignore[override]  # it becomes the provider's own LLM
        made: LLM = replace(self.of, model=tuned_name(trained(self.tuned)))
        return made

    def missing(self) -> tuple[DreamframeError, ...]:
        found: tuple[DreamframeError, ...] = self.of.missing()
        return found

    def pool_key(self) -> str:
        return str(self.of.pool_key())

    def open(self) -> Client:
        raise SettingError(f"{self.label} has no name before it is trained; ask it in a plan: df.prompt(model.llm(), …).")


def _whole(named: str, trainer: ApiTrainer) -> str:
    """An address of the environment, if a plan can hold it."""
    if getattr(named, "userinfo", None) or getattr(named, "query", None):
        variable = address_variable(type(trainer))
        raise SettingError(f"{trainer.label}: {variable} has a user or a query in it, which the plan would hold. Give base_url= without it, and api_key=.")
    return str(named)


def tuned_name(artefact: Artefact) -> str:
    """The provider's name of a tuned model."""
    return str(json.loads((Path(artefact.path) / MODEL_FILE).read_text())["model"])


@dataclass(frozen=True)
class ApiTrainer(Trainer):
    """A trainer of weights that never leave the provider. The artefact is the tuned model's name.

    The files are named after their content, and the job is marked with the key of rows and settings: a run that was killed at any moment goes on
    waiting for its job, and nothing is uploaded or started twice. With `stop` (Ctrl-C) the job goes on; running again waits for it.
    """

    epochs: int | None = setting()  # None: the provider decides
    suffix: str | None = setting()  # part of the tuned model's name
    system: str | None = setting()  # a system message before each prompt
    args: Any = setting()  # further fields of the job, passed through
    base_url: str | None = setting()  # of a server that speaks the provider's protocol; None: the provider's own
    api_key: str | None = secret()  # None: the provider's variable
    poll_s: float = steering(10.0)  # seconds between looks at the job

    handed_on: ClassVar[tuple[str, ...]] = ("args",)
    address: ClassVar[str] = ""  # the provider's own
    address_variable: ClassVar[str] = ""  # read where no base_url is given
    kind: ClassVar[Kind] = HOSTED
    ways: ClassVar[tuple[Roles, ...]] = (Roles({"prompt": CHAT, "completion": CHAT}), Roles({"messages": MESSAGES}))
    key_variable: ClassVar[str] = ""
    fields_of_job: ClassVar[frozenset[str]] = frozenset()  # what args= may hold
    above_zero: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.base_url is None and self.authority is None and (named := named_address(type(self))) is not None:
            object.__setattr__(self, "base_url", _whole(named, self))  # as if it were given
        object.__setattr__(self, "api_key", plain_key(self.api_key, who=self.label))
        object.__setattr__(self, "args", json_text(self.args, f"{self.label} args"))
        hide_fields(self)
        if self.base_url is not None and ("@" in self.base_url or "?" in self.base_url):
            told = without_login(self.base_url)
            raise SettingError(f"{self.label}: base_url={told!r} has a user or a query in it, which the plan would hold. Give the key as api_key=.")
        for name in ("epochs", "poll_s", *self.above_zero):
            if (value := getattr(self, name)) is not None and value <= 0:
                raise SettingError(f"{self.label}: {name}={value} must be more than 0.")
        for name in self.further():
            if name not in self.fields_of_job:
                raise SettingError.unknown(name, possible=self.fields_of_job, where=f"{self.label} args")

    def further(self) -> dict[str, Any]:
        return dict(json.loads(self.args)) if self.args else {}

    @property
    def base_name(self) -> str:
        """The provider's name of the model to start from."""
        artefact = self.base.artefact if isinstance(self.base, Chained) else self.base
        return tuned_name(artefact) if isinstance(artefact, Artefact) else str(getattr(self.base, "model", self.base))

    def check_reach(self) -> None:
        super().check_reach()
        if self.authority is not None and self.base_url is not None:
            self.authority.address(self.base_url, who=self.label, own=self.address)

    def reaches(self) -> tuple[str, ...]:
        place = str(self.base_url)
        is_own = self.base_url is None or is_below(place, self.address)
        return () if is_own else (shown(f"{place.partition('://')[0]}://{place.rpartition('@')[2]}" if "@" in place else place),)

    def missing(self) -> tuple[DreamframeError, ...]:
        with contextlib.suppress(NotAllowedError):
            try:
                self.key()
            except AuthenticationError as exc:
                return (exc,)
        return ()

    def key(self) -> str:
        """The API key as it is now, for where it may go. Raises NotAllowedError, and AuthenticationError where there is none."""
        self.check_reach()
        found = self.api_key or os.environ.get(self.key_variable, "").strip()
        if not found:
            raise AuthenticationError(f"{self.label}: no API key. Set the environment variable {self.key_variable}, or pass api_key=.")
        check_key(found, who=self.label, variable="" if self.api_key else self.key_variable)
        return found

    @abstractmethod
    def provider(self) -> Provider:
        """Open the API."""

    @abstractmethod
    def llm_of(self, name: str, **settings: Any) -> LLM:
        """The provider's model of that name as an LLM."""

    def as_llm(self, model: Trained, **settings: Any) -> LLM:
        base = self.base if isinstance(self.base, str) else "tuned model"
        return Tuned(f"tuned {base}", tuned=model, of=under(self.llm_of(base, **settings), self.authority))

    def lines(self, rows: pl.DataFrame) -> list[dict[str, Any]]:
        """The rows as the provider reads them."""
        rows = as_messages(as_text(rows), prompt="user", completion="assistant")
        system = [{"role": "system", "content": self.system}] if self.system else []
        return [{"messages": system + [m for part in row for m in part]} for row in rows.select(self._columns(rows)).iter_rows()]

    def _columns(self, rows: pl.DataFrame) -> list[str]:
        return [c for c in ("prompt", "completion", "messages") if c in rows.columns]

    def _readable(self, path: Path | None, job: TrainJob, who: str) -> pl.DataFrame | None:
        """The rows of a file that a provider learns from: chats end with an answer."""
        rows = read_rows(path, job, who=who)
        if rows is None:
            return None
        if "messages" in rows.columns:
            last = pl.col("messages").list.last().struct.field("role").cast(pl.String)
            silent = rows.select((last != ASSISTANT).alias("silent"))["silent"].arg_true().to_list()
            rows = leave_out(rows, silent, why=f"do not end with a turn of {ASSISTANT!r}, which is what is learnt", who=who, job=job)
        remark(rows, None, is_chat=False, who=who, job=job)
        return rows

    def run(self, job: TrainJob) -> dict[str, Any]:
        rows = self._readable(job.rows, job, self.label)
        assert rows is not None
        if rows.height < FEWEST_ROWS:
            raise TrainingError(f"{self.label}: {rows.height} rows are too few; providers want {FEWEST_ROWS} or more.")
        validation = self._readable(job.validation, job, f"{self.label} validation")
        progress = ApiJob(self, job, self.provider(), as_jsonl(self.lines(rows)), as_jsonl(self.lines(validation)) if validation is not None else None)
        state, log = progress.wait()
        record = {"provider": self.label, "model": state.model, "base": self.base_name, "job": progress.held["job"]}
        (job.out / MODEL_FILE).write_text(json.dumps(record, indent=1) + "\n")
        losses = [e["train_loss"] for e in log if e.get("train_loss") is not None]
        last = {k: v for e in log for k, v in e.items() if k.startswith("valid")}
        return {
            "n_rows": rows.height, "steps": max((int(e["step"]) for e in log if "step" in e), default=None), "losses": losses[:1] + losses[1:][-1:],
            "metrics": last, "log": log, "trained_tokens": state.trained_tokens, **record,
        }  # fmt: skip


@dataclass
class ApiJob:
    """One job on its way. `held` is what was reached, kept in `job.json` beside the checkpoints: it outlives a kill."""

    settings: ApiTrainer
    job: TrainJob
    api: Provider
    rows: bytes
    validation: bytes | None
    held: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.file = self.job.workdir / "job.json"
        if self.file.exists():
            self.held = json.loads(self.file.read_text())

    @property
    def mark(self) -> str:
        """Names this training at the provider: settings and content of the rows."""
        fields = {**self.settings.key_fields(), "base": self.settings.base_name}
        settings = json.dumps({k: str(v) for k, v in fields.items()}, sort_keys=True)
        return digest(settings.encode() + b"\0" + self.rows + b"\0" + (self.validation or b""))

    def wait(self) -> tuple[JobState, list[dict[str, Any]]]:
        """Bring everything up to the job, and wait for its end. Gives the state and the log."""
        training = self._uploaded("training", self.rows)
        validation = None if self.validation is None else self._uploaded("validation", self.validation)
        find, start = (lambda: self.api.find_job(self.mark, training)), (lambda: self.api.start(training, validation, self.mark))
        job = self._reached("job", find, start)
        while (state := self._tried(lambda: self.api.state(job))).status == "running":
            self._report(job)
            self._pause(f"job {job} goes on at the provider ({state.said})")
        if state.status != "succeeded":
            self._forget("job")  # the files stay; the next run starts another job
            why = state.error or "the provider gave no reason"
            raise TrainingError(f"{self.settings.label}: job {job} {state.said}: {why}. Running again starts another job.")
        return state, self._report(job)

    def _uploaded(self, name: str, content: bytes) -> str:
        file = f"dreamframe-{digest(content)}.jsonl"
        known = self._reached(name, lambda: self.api.find_file(file), lambda: self.api.upload(file, content))
        while not self._tried(lambda: self.api.is_ready(known)):
            self._pause(f"file {known} is being read by the provider")
        return known

    def _reached(self, name: str, find: Callable[[], str | None], make: Callable[[], str]) -> str:
        """What is there already, or made now. A request whose answer got lost is looked for before it is sent again."""
        if name not in self.held:
            self.held[name] = self._tried(lambda: find() or make())
            part = self.file.with_suffix(".part")
            with part.open("w") as out:
                json.dump(self.held, out)
                out.flush()
                os.fsync(out.fileno())
            part.replace(self.file)
        return self.held[name]

    def _forget(self, name: str) -> None:
        del self.held[name]
        self.file.write_text(json.dumps(self.held))

    def _tried(self, call: Callable[[], T]) -> T:
        for attempt in range(TRIES):
            try:
                return call()
            except TransientCallError as exc:
                if exc.stops_run:
                    raise TrainingError(f"{self.settings.label}: {exc}") from exc
                if attempt == TRIES - 1:
                    raise TrainingError(f"{self.settings.label}: {exc} (tried {TRIES} times). Running again goes on from here.") from exc
                self._pause("the provider does not answer", seconds=min(self.settings.poll_s, 0.5 * 2**attempt))
        raise AssertionError("unreachable")

    def _pause(self, why: str, *, seconds: float | None = None) -> None:
        if self.job.stop.wait(self.settings.poll_s if seconds is None else seconds):
            raise TrainingError(f"{self.settings.label}: stopped waiting; {why}. Running again waits for it.")

    def _report(self, job: str) -> list[dict[str, Any]]:
        """Hand the job's newest numbers to the progress bar. Gives them all."""
        log = [e for e in self._tried(lambda: self.api.events(job)) if "step" in e]
        if log:
            self.job.progress({k: float(v) for k, v in log[-1].items() if isinstance(v, int | float)})
        return log


def digest(content: bytes) -> str:
    """24 hex characters."""
    return hashlib.sha256(content).hexdigest()[:24]


def as_jsonl(lines: Iterable[Mapping[str, Any]]) -> bytes:
    return "".join(json.dumps(_said(line), ensure_ascii=False) + "\n" for line in lines).encode()


def _said(value: Any) -> Any:
    """The same without the fields that are null: a column of chats has the fields of all its messages, and providers refuse null for most of them."""
    if isinstance(value, Mapping):
        return {k: _said(v) for k, v in value.items() if v is not None}
    return [_said(v) for v in value] if isinstance(value, list) else value
