"""What the settings of models that this process loads share: checks, a label, what the weights are, who shares a client. And the values to load them by."""

from __future__ import annotations

import importlib.util
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar

from dreamframe.errors import DreamframeError, MissingExtraError, SettingError
from dreamframe.models.base import Artefact, Client, ModelSettings
from dreamframe.models.local import devices
from dreamframe.models.local.memory import n_bytes_of, unload
from dreamframe.models.local.replicas import Replicas, check_replicas, devices_of, places_of
from dreamframe.models.local.weights import KeptWeights, Pinned, content_digest, local_weights, missing_weights, weights_identity, weights_path
from dreamframe.models.pinned import OfWeights
from dreamframe.models.provenance import is_repo_id

DTYPES = ("float32", "bfloat16", "float16", "auto")  # auto: as the weights have it
TOLD = ("authority", "length")  # fields that the reader of a plan fills: they change nothing about what is loaded


@dataclass(frozen=True)
class ToLoad:
    """Weights and how to load them, as plain values: what loads them knows no settings."""

    model: str  # a folder, a file or a Hub id
    adapter: Path | None
    device: str | None  # None: the best there is
    dtype: str | None
    revision: str | None
    trust_remote_code: bool
    token: bool | None  # False: the Hub is not told who the user is
    who: str  # for errors
    how: str | None = None  # JSON of further arguments of the library, where and how fast it works

    def folder(self) -> Path:
        """The folder that they lie in; downloaded or converted now if they were not before."""
        return local_weights(self.model, revision=self.revision, trust_remote_code=self.trust_remote_code, token=self.token)

    def refuse(self, folder: Path | None) -> None:
        """Raise SettingError for a folder that holds no language model."""
        if folder is None or not folder.is_dir() or (folder / "config.json").exists():
            return
        is_adapter = (folder / "adapter_config.json").exists()
        what = "an adapter: give its base as the model, and it as adapter=" if is_adapter else "no model: it has no config.json"
        raise SettingError(f"{self.who}: {folder} holds {what}.")


class LocalSettings(OfWeights, ModelSettings):
    """The base of settings that declare `model`, `revision`, `dtype`, `trust_remote_code`, `concurrency`, and what else of `adapter`, `device` and `threads`
    they know. Each declares its own fields: their order is part of what it is."""

    dtypes: ClassVar[tuple[str, ...]] = DTYPES  # empty: the engine checks its own
    counts: ClassVar[tuple[str, ...]] = ("batch_tokens", "concurrency", "threads")  # fields that are whole numbers of 1 or more, or None
    needs: ClassVar[tuple[str, ...]] = ("torch", "transformers")
    pip_extra: ClassVar[str] = "local"
    needs_peft: ClassVar[bool] = True  # for adapters
    needs_to_hold: ClassVar[tuple[str, ...]] = ()  # libraries that hold answers to a schema

    revision: str | None
    dtype: str | None
    trust_remote_code: bool

    def check_local(self) -> None:
        """Make paths texts and devices one text or a tuple. Raises SettingError for a setting that no model of this kind can have."""
        who = type(self).__name__
        if hasattr(self, "device"):
            object.__setattr__(self, "device", devices_of(self.device, who=who))
        check_replicas(self)
        for name in self.named:
            if isinstance(value := getattr(self, name, None), Path):
                object.__setattr__(self, name, str(value))
        if type(self.dtype).__module__ == "torch":  # torch.bfloat16
            object.__setattr__(self, "dtype", str(self.dtype).removeprefix("torch."))
        if self.dtypes and self.dtype not in (None, *self.dtypes):
            raise SettingError(f"{who}: dtype={self.dtype!r} is not one of {', '.join(map(repr, self.dtypes))}.")
        for name in self.counts:
            if (value := getattr(self, name)) is not None and (not isinstance(value, int) or value < 1):
                raise SettingError(f"{who}: {name}={value!r}; give a whole number of 1 or more.")

    @property
    def label(self) -> str:
        """The model, and the adapter over it."""
        return " + ".join(shown(v) for name in self.named if (v := getattr(self, name, None)) is not None)

    def identity_fields(self) -> Mapping[str, object]:
        """The weights by what they hold instead of where they lie; the revision is in that."""
        seen = dict(super().identity_fields())
        revision = seen.pop("revision")
        if isinstance(self.model, str):
            seen["model"] = weights_identity(self.model, str(revision) if revision else None, token=self.hub_token)
        if isinstance(adapter := seen.get("adapter"), str):
            seen["adapter"] = adapter_identity(adapter, self.hub_token, who=type(self).__name__)
        return seen

    def pool_key(self) -> str:
        """Settings that load the same weights in the same way share a client; what each question holds is not part of it."""
        own = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in (*self.named, *self.outside_identity, *TOLD)}
        return f"{self.provider} {self.weights_key()} {own}"

    def unload(self) -> bool:
        """Give back the memory of the loaded model; the next request loads it again. False where it was not loaded."""
        return unload(self)

    def missing(self) -> tuple[DreamframeError, ...]:
        who = f"dr.{type(self).__name__}"
        wanted = [(library, self.pip_extra, who) for library in self.needs]
        if getattr(self, "adapter", None) is not None and self.needs_peft:
            wanted.append(("peft", "train", f"adapter= of {type(self).__name__}"))
        if getattr(self, "quantization", None) is not None:
            wanted.append(("bitsandbytes", "quant", f"quantization= of {type(self).__name__}"))
        lacking = [MissingExtraError(m.replace("_", "-"), extra=e, needed_for=w) for m, e, w in wanted if importlib.util.find_spec(m) is None]
        return (*lacking, *missing_weights(*(getattr(self, name, None) for name in self.named)))

    def no_device(self) -> DreamframeError | None:
        return devices.no_device(getattr(self, "device", None), who=type(self).__name__)

    def open(self) -> Client:
        """The client. Raises MissingExtraError where a library is not installed, SettingError where the device that was asked for is not there."""
        for error in (*self.missing(), self.no_device()):
            if error is not None:
                raise error
        places = places_of(self)
        return Replicas(self, places) if places else self.client()

    @abstractmethod
    def client(self) -> Client:
        """The client of one loaded model."""

    def to_load(self) -> ToLoad:
        """What is loaded. May download an adapter, so it is called on a worker thread."""
        adapter, device = getattr(self, "adapter", None), getattr(self, "device", None)
        who = type(self).__name__
        found = adapter_folder(place(adapter), self.hub_token, who=who) if adapter is not None else None
        return ToLoad(place(self.model), found, device, self.dtype, self.revision, self.trust_remote_code, self.hub_token, who, getattr(self, "load", None))

    @property
    def n_bytes(self) -> int:
        """Memory that the weights need, guessed from their files; 0 where these are not here."""
        found = weights_path(place(self.model))
        return 0 if found is None else n_bytes_of(found)


def place(model: Any) -> str:
    """The folder, the file or the Hub id of weights."""
    found: str = model.path if isinstance(model, Artefact) else model  # as it is: kept weights know what they are
    return found


def shown(model: Any) -> str:
    """The last part of the name of weights; of a model of the plan, its step's label."""
    if isinstance(model, Artefact):
        return Path(model.path).name
    return model.rstrip("/").rpartition("/")[2] if isinstance(model, str) else str(model.step.label)


def adapter_folder(adapter: str, token: bool | None = None, *, who: str) -> Path:
    """The folder of an adapter, or of an adapter's repository on the Hub, downloaded at its commit. Raises SettingError for anything else."""
    folder = adapter.path() if isinstance(adapter, KeptWeights) else Path(adapter).expanduser()
    if folder is None or (not folder.exists() and is_repo_id(adapter)):
        folder = local_weights(adapter, token=token)
    if not (folder / "adapter_config.json").exists():
        raise SettingError(f"{who}: adapter={adapter!r} is not the folder of an adapter: it has no adapter_config.json.")
    return folder


def adapter_identity(adapter: str, token: bool | None = None, *, who: str) -> object:
    """What an adapter is: the digest of its files."""
    return adapter.identity if isinstance(adapter, KeptWeights | Pinned) else content_digest(adapter_folder(adapter, token, who=who))
