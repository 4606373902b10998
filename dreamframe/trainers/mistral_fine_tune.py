"""Fine-tuning by Mistral, over HTTP: its own client has no fine-tuning."""

from __future__ import annotations

import asyncio
import json
import uuid
from dataclasses import dataclass
from typing import Any, ClassVar

from dreamframe.errors import AuthenticationError, ConnectionFailedError, SettingError, TrainingError, TransientCallError
from dreamframe.models.api.batch_api import parsed
from dreamframe.models.api.error_replies import ErrorReply
from dreamframe.models.api.http import Http, Reply
from dreamframe.models.base import LLM, setting
from dreamframe.models.llms.mistral import Mistral
from dreamframe.models.secrets import redactor_of
from dreamframe.redaction.secret import Secret
from dreamframe.trainers.api import ApiTrainer, JobState

ADDRESS = "https://api.mistral.ai/v1"
STATES = {"SUCCESS": "succeeded", "FAILED": "failed", "FAILED_VALIDATION": "failed", "CANCELLED": "cancelled"}
TIMEOUT_S = 120.0
PAGE = 100
MOST_SAID = 32 << 20  # bytes of an answer that are read


@dataclass(frozen=True)
class MistralFineTune(ApiTrainer):
    """Fine-tune a model at Mistral.

    Columns: `prompt, completion` or `messages`. Give `epochs` or `steps`. The key is `api_key` or the environment variable MISTRAL_API_KEY.

    >>> dr.MistralFineTune("open-mistral-7b", steps=100, learning_rate=1e-4).hyperparameters()
    {'training_steps': 100, 'learning_rate': 0.0001}
    """

    steps: int | None = setting()  # optimiser steps, instead of epochs
    learning_rate: float | None = setting()  # None: the provider decides

    address: ClassVar[str] = ADDRESS
    key_variable: ClassVar[str] = "MISTRAL_API_KEY"
    fields_of_job: ClassVar[frozenset[str]] = frozenset({"hyperparameters", "integrations", "invalid_sample_skip_percentage", "repositories"})
    above_zero: ClassVar[tuple[str, ...]] = ("steps", "learning_rate")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.epochs is None and self.steps is None:
            raise SettingError("MistralFineTune: give epochs= or steps=.")

    def provider(self) -> MistralApi:
        return MistralApi(self)

    def llm_of(self, name: str, **settings: Any) -> LLM:
        own = {"base_url": self.base_url, "api_key": self.api_key, "system": self.system}
        made: LLM = Mistral(name, **{**{k: v for k, v in own.items() if v is not None}, **settings})
        return made

    def hyperparameters(self) -> dict[str, Any]:
        """What was set of them."""
        given = {"training_steps": self.steps, "epochs": self.epochs, "learning_rate": self.learning_rate}
        return {**{k: v for k, v in given.items() if v is not None}, **self.further().get("hyperparameters", {})}


class MistralApi:
    """Mistral's files and fine-tuning jobs."""

    def __init__(self, settings: MistralFineTune) -> None:
        self.settings, self.key = settings, Secret(settings.key())
        self.hides = redactor_of([settings])
        self.address = (settings.base_url or ADDRESS).rstrip("/")

    def find_file(self, name: str) -> str | None:
        return next((str(f["id"]) for f in self._pages("/files?purpose=fine-tune&") if f.get("filename") == name), None)

    def upload(self, name: str, content: bytes) -> str:
        mark = uuid.uuid4().hex
        parts = [
            f'--{mark}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nfine-tune\r\n'.encode(),
            f'--{mark}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\nContent-Type: application/jsonl\r\n\r\n'.encode(),
            content,
            f"\r\n--{mark}--\r\n".encode(),
        ]
        return str(self._asked("POST", "/files", b"".join(parts), f"multipart/form-data; boundary={mark}")["id"])

    def is_ready(self, file: str) -> bool:  # noqa: ARG002  the job itself validates its files
        return True

    def find_job(self, mark: str, training: str) -> str | None:  # noqa: ARG002  a job has no place for a mark: its files and settings tell it
        """A job of the same file, model and hyperparameters that did not fail."""
        wanted = self.settings.hyperparameters()
        for job in self._pages("/fine_tuning/jobs?"):
            held = job.get("hyperparameters") or {}
            same = training in (job.get("training_files") or []) and job.get("model") == self.settings.base_name and job.get("suffix") == self.settings.suffix
            if same and all(held.get(k) == v for k, v in wanted.items()) and STATES.get(str(job["status"])) not in ("failed", "cancelled"):
                return str(job["id"])
        return None

    def start(self, training: str, validation: str | None, mark: str) -> str:  # noqa: ARG002  as for find_job
        s = self.settings
        body = {
            "model": s.base_name,
            "training_files": [{"file_id": training, "weight": 1}],
            "hyperparameters": s.hyperparameters(),
            "auto_start": True,
            **({"validation_files": [validation]} if validation else {}),
            **({"suffix": s.suffix} if s.suffix else {}),
            **{k: v for k, v in s.further().items() if k != "hyperparameters"},
        }
        return str(self._asked("POST", "/fine_tuning/jobs", json.dumps(body).encode(), "application/json")["id"])

    def state(self, job: str) -> JobState:
        seen = self._asked("GET", f"/fine_tuning/jobs/{job}")
        said = str(seen["status"])
        errors = [str((e.get("data") or {}).get("error")) for e in seen.get("events") or [] if (e.get("data") or {}).get("error")]
        return JobState(STATES.get(said, "running"), said.lower(), seen.get("fine_tuned_model"), "; ".join(errors) or None, seen.get("trained_tokens"))

    def events(self, job: str) -> list[dict[str, Any]]:
        """One row a checkpoint: step and losses."""
        seen = self._asked("GET", f"/fine_tuning/jobs/{job}").get("checkpoints") or []
        rows = [{"step": c["step_number"], **{k: v for k, v in (c.get("metrics") or {}).items() if v is not None}} for c in seen]
        return sorted(rows, key=lambda row: int(row["step"]))

    def _pages(self, path: str) -> Any:
        for page in range(1_000):
            found = self._asked("GET", f"{path}page={page}&page_size={PAGE}").get("data") or []
            yield from found
            if len(found) < PAGE:
                return

    def _asked(self, method: str, path: str, body: bytes | None = None, kind: str = "application/json") -> dict[str, Any]:
        place = f"Mistral: {method} {self.address}{path.partition('?')[0]}"
        found: dict[str, Any] = parsed(asyncio.run(self._sent(method, path, body, kind, place)), place=place)
        return found

    async def _sent(self, method: str, path: str, body: bytes | None, kind: str, place: str) -> Reply:
        http = Http(self.address, {"Authorization": Secret(f"Bearer {self.key}")}, concurrency=1, max_bytes=MOST_SAID, hides=self.hides)
        try:
            async with asyncio.timeout(TIMEOUT_S):
                reply = await http.send(method, self.address + path, body, {"Content-Type": kind})
        except TimeoutError as exc:
            raise ConnectionFailedError(f"{place}: no whole answer within {TIMEOUT_S:g} s") from exc
        finally:
            await http.close()
        if reply.status >= 300:
            raise refused(reply, place)
        return reply


def refused(reply: Reply, place: str) -> Exception:
    """What an error reply means for a training."""
    error = ErrorReply(reply).error(place=place)
    if isinstance(error, AuthenticationError):
        return AuthenticationError(f"Mistral refused the key: status {reply.status}.")
    return error if isinstance(error, TransientCallError) else TrainingError(f"MistralFineTune: {error}")
