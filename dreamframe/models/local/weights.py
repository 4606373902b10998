"""Where a model's weights lie on this machine, and what they are by content. Touches the disk, and the Hub for Hub ids."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from dreamframe.errors import MissingExtraError, MissingWeightsError, SettingError, SourceChangedError
from dreamframe.identity.fingerprint import FileMemo, file_digest, fingerprint
from dreamframe.models.authority import is_inside
from dreamframe.models.local import embedded
from dreamframe.models.local.embedded import MINILM, SMOLLM2, minilm_folder, smollm2_gguf

CONVERSION = 1  # raised when a conversion gives other files
HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")
PART = re.compile(r"(.+)-(\d{5})-of-(\d{5})\.gguf")  # of a split file
COMMIT = re.compile(r"[0-9a-f]{40}")
CONTENT = {".safetensors", ".bin", ".json", ".model", ".txt", ".jinja", ".py", ".gguf", ".npz", ".tiktoken", ".spm", ".codes"}  # what decides the answers
RECORDS = {"training.json", "trainer_state.json", "checkpoints", ".cache", ".git"}  # what lies beside them
OTHER_FORMATS = ["*.onnx", "onnx/*", "openvino/*", "*.h5", "*.msgpack", "*.ot", "*.tflite", "original/*", "*.gguf", "*.pth"]


def cache_folder() -> Path:
    """Where converted weights are kept: `$DREAMFRAME_CACHE`, else `~/.cache/dreamframe`."""
    given = os.environ.get("DREAMFRAME_CACHE")
    return Path(given).expanduser() if given else Path.home() / ".cache" / "dreamframe"


def missing_weights(*models: object) -> tuple[MissingExtraError, ...]:
    """The packages that carry the weights of these names and are not installed."""
    found = []
    for name in models:
        if isinstance(name, str) and not isinstance(name, KeptWeights | Pinned) and name in (SMOLLM2, MINILM):
            try:
                weights_path(name)
            except MissingWeightsError as exc:
                found.append(exc)
    return tuple(found)


class KeptWeights(str):
    """The name of weights that a kept plan was made with, and what they were, so that what was made with them is found. Made without a look at the disk;
    they can be loaded where the name means the very same weights below the working directory."""

    identity: str | Mapping[str, object]  # as `weights_identity` gave it
    dim: int | None  # of an embedder's vectors

    @classmethod
    def elsewhere(cls, name: str, identity: str | Mapping[str, object], dim: int | None = None) -> KeptWeights:
        """A name that stands for these weights, wherever they are. Nothing is looked at."""
        made = cls(name)
        made.identity, made.dim = identity, dim
        return made

    @classmethod
    def named(cls, name: str, identity: str | Mapping[str, object], dim: int | None = None) -> str:
        """A name that stands for these weights: as it is, if it means them here too. Looks below the working directory alone: a stranger wrote the name."""
        below = bool(Path(name).parts) and not Path(name).is_absolute() and not {"..", "~"} & set(Path(name).parts) and is_inside(name)
        with contextlib.suppress(SettingError, MissingExtraError):  # not here
            if below and isinstance(identity, str) and digest_of(name) == identity:
                return name
        return cls.elsewhere(name, identity, dim)

    def __reduce__(self) -> tuple[Any, ...]:  # to another process, as it is
        return KeptWeights.elsewhere, (str(self), self.identity, self.dim)

    def path(self) -> Path | None:
        """Where they are; None for the Hub. Raises SettingError where they are not, and for a name that is said to be that of other weights."""
        name = str(self)
        if isinstance(self.identity, str):
            if type(self.named(name, self.identity)) is str:
                return weights_path(name)
            raise SettingError(f"the weights {name!r} that this plan was made with are not here: what it made of them can be read, nothing more.")
        if self.identity.get("hub") != name:
            raise SettingError(f"the weights {name!r} of this plan are said to be those of {self.identity.get('hub')!r}: they are not loaded.")
        return None  # of the Hub, at a commit


class Pinned(str):
    """The name of weights together with what they were when a run last looked: what it asks is keyed, loaded and checked by this one identity."""

    identity: str | Mapping[str, object]  # as `weights_identity` gave it

    @classmethod
    def of(cls, name: str, identity: Any) -> Pinned:
        """A name that stands for these weights alone."""
        made = cls(name)
        made.identity = identity
        return made


def weights_path(model: str) -> Path | None:
    """The folder or file that a model's name means on this machine; None for a Hub id, and for embedded weights that are not downloaded yet. Raises
    SettingError for a path that does not exist, MissingWeightsError for embedded weights that cannot be had."""
    if isinstance(model, KeptWeights):
        return model.path()
    if model == SMOLLM2:
        return smollm2_gguf()
    if model == MINILM:
        return minilm_folder()
    path = Path(model).expanduser()
    if path.exists():
        return path
    if not HUB_ID.fullmatch(model) or model.endswith(".gguf"):
        raise SettingError(f"model={model!r}: there is no such file or folder, and it is not the id of a Hub model either.")
    return None


def local_weights(model: str, *, revision: str | None = None, trust_remote_code: bool = False, token: bool | None = None) -> Path:
    """A folder of weights that transformers can load: a folder as it is, a GGUF file converted once, a Hub id downloaded at its commit.

    With `token=False` the Hub is not told who the user is.
    """
    path = weights_path(model)
    if path is None and str(model) == SMOLLM2:
        path = embedded.download()
    if path is None:
        return _downloaded(model, commit_of(model, revision, token), trust_remote_code, token)
    if revision is not None:
        raise SettingError(f"model={model!r} is on this machine, so revision={revision!r} means nothing; leave it out.")
    return path if path.is_dir() else _converted(path)


def weights_identity(model: str, revision: str | None = None, *, token: bool | None = None) -> str | Mapping[str, object]:
    """What the weights are, wherever they lie: a digest of the files' content, or the resolved commit of a Hub id."""
    if isinstance(model, KeptWeights | Pinned):
        return model.identity
    return digest_of(model) or {"hub": model, "commit": hub_commit(model, revision, token)}


def digest_of(model: str) -> str | None:
    """The digest of the file or folder that a name means here; None for a Hub id. Nothing is downloaded: what embedded weights hold is known before."""
    path = weights_path(model)
    if path is None:
        return embedded.GGUF.digest if str(model) == SMOLLM2 else None
    return content_digest(path)


def content_digest(path: Path) -> str:
    """The digest of a file, or of all files of a model's folder by name and content. Cards and training records are not part of it."""
    if path.is_file():
        held = [file_digest(part, file_memo()) for part in _split(path)]
        return held[0] if len(held) == 1 else fingerprint(held)
    return fingerprint({str(f.relative_to(path)): file_digest(f, file_memo()) for f in _content_files(path)})


@lru_cache(maxsize=1)
def file_memo() -> FileMemo:
    """Digests of weights that this process read before, by stat, so that an unchanged file is not read again."""
    return FileMemo()


def _split(gguf: Path) -> list[Path]:
    """All parts of a file that was split (m-00001-of-00003.gguf); a file that was not is its only part."""
    if (found := PART.fullmatch(gguf.name)) is None:
        return [gguf]
    parts = [gguf.with_name(f"{found[1]}-{i:05}-of-{found[3]}.gguf") for i in range(1, int(found[3]) + 1)]
    return [gguf, *(p for p in parts if p != gguf and p.is_file())]


def _content_files(folder: Path) -> Iterator[Path]:
    above: set[str] = set()  # folders that were walked: a link may lead back into one
    for root, names, files in os.walk(folder, followlinks=True):
        if (real := os.path.realpath(root)) in above:
            names.clear()
            continue
        above.add(real)
        names[:] = sorted(n for n in names if n not in RECORDS and not n.startswith("checkpoint-"))
        for name in sorted(files):
            if (Path(name).suffix in CONTENT or name.startswith("tokenizer.")) and name not in RECORDS:
                yield Path(root) / name


# The Hub


@lru_cache(maxsize=256)
def hub_commit(model: str, revision: str | None = None, token: bool | None = None) -> str:
    """The commit that a revision of a Hub model means now. One answer a process; without a network, the commit that was downloaded last."""
    if revision is not None and COMMIT.fullmatch(revision):
        return revision
    try:
        from huggingface_hub import HfApi, snapshot_download
        from huggingface_hub.errors import HFValidationError, HTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled
    except ImportError as exc:
        raise MissingExtraError("huggingface-hub", extra="hub", needed_for=f"model {model!r}") from exc
    try:
        return str(HfApi(token=token).model_info(model, revision=revision).sha)
    except HFValidationError as exc:
        raise SettingError(f"model={model!r}: {exc}") from exc
    except (HTTPError, OfflineModeIsEnabled, OSError) as exc:
        status = getattr(getattr(exc, "response", None), "status_code", None)
        if status is None or status >= 500:
            try:
                return Path(snapshot_download(model, revision=revision, local_files_only=True, token=token)).name
            except LocalEntryNotFoundError:
                pass  # never downloaded: the first error says more
        raise SettingError(f"model={model!r}: no such folder or file here, and the Hub does not give it at revision {revision!r}: {exc}") from exc


def commit_of(model: str, revision: str | None = None, token: bool | None = None) -> str:
    """The commit of a Hub id: of weights that know theirs that one, else what the revision means now. Raises SettingError where the Hub does not say."""
    kept = model.identity if isinstance(model, KeptWeights | Pinned) else None
    return str(kept["commit"]) if isinstance(kept, Mapping) else hub_commit(model, revision, token)


def _downloaded(model: str, commit: str, trust_remote_code: bool, token: bool | None) -> Path:
    from huggingface_hub import snapshot_download

    ignored = OTHER_FORMATS if trust_remote_code else [*OTHER_FORMATS, "*.py"]
    return Path(snapshot_download(model, revision=commit, ignore_patterns=ignored, token=token))


# GGUF


def _converted(gguf: Path) -> Path:
    """The folder that a GGUF file was converted into, in float32; converted now if it was not before (half a minute for 135M parameters)."""
    held = file_digest(gguf, file_memo())
    done = cache_folder() / "converted" / f"{held}-v{CONVERSION}"
    if done.exists():
        return done
    done.parent.mkdir(parents=True, exist_ok=True)
    making = Path(tempfile.mkdtemp(prefix=".making-", dir=done.parent))
    try:
        _convert(gguf, making)
        if file_digest(gguf, file_memo()) != held:
            raise SourceChangedError(f"{gguf} was replaced while it was converted; run again.")
        try:
            making.rename(done)
        except OSError:
            if not done.exists():  # otherwise another process was first, with the same files
                raise
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return done


def _convert(gguf: Path, out: Path) -> None:
    try:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig, modeling_gguf_pytorch_utils
    except ImportError as exc:
        raise MissingExtraError("torch or transformers", extra="local", needed_for=f"loading {gguf.name} with transformers") from exc
    from dreamframe.models.local.quiet import quiet

    folder, name = str(gguf.parent), gguf.name
    packed = {"quantization_config": GgufConfig(dequantize=True)}  # otherwise it stays packed: slow, and not savable
    with quiet(modeling_gguf_pytorch_utils):
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, gguf_file=name)
        model = AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=False, gguf_file=name, dtype=torch.float32, **packed)
        tokenizer.save_pretrained(out)
        model.save_pretrained(out)
