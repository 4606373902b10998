"""What weights say of themselves, for the cards: the licence and the citation in the README beside them, on this machine or on the Hub."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from dreamframe.errors import DreamframeError
from dreamframe.models.authority import is_place
from dreamframe.models.local.embedded import SMOLLM2
from dreamframe.models.local.weights import commit_of, weights_path
from dreamframe.models.provenance import Provenance, model_provenance
from dreamframe.models.readme import citation_in, licence_in

WEIGHTS = "trainer"  # who has them: a repository of the Hub may be behind the name
MOST = 1 << 20  # bytes of a README that are read
IN_THE_CACHE = re.compile(r"models--([\w.-]+?)--([\w.-]+)/snapshots/([0-9a-f]{40})(?:/|$)")


def weights_provenance(model: str, *, revision: str | None = None, token: bool | None = None, may_open: bool = True) -> Provenance:
    """What is known of weights: what their README says, else what is known of a model of that name. Reads no weights; of a Hub id, at most its README.

    >>> weights_provenance("SmolLM2-135M-Instruct").url
    'https://huggingface.co/HuggingFaceTB/SmolLM2-135M-Instruct'
    """
    path, commit = _found(model, revision, token) if may_open else (None, None)
    cached = IN_THE_CACHE.search(model)
    if cached is not None:  # a snapshot of the Hub, named by its folder
        known = model_provenance(f"{cached[1]}/{cached[2]}", provider=WEIGHTS, revision=cached[3])
    elif path is not None or is_place(model):
        known = model_provenance(Path(model).name)
    else:
        known = model_provenance(str(model), provider=WEIGHTS, revision=commit or revision)
    if path is not None:
        beside = path if path.is_dir() else path.parent if cached is not None else None
        readme = "" if beside is None else _text(beside / "README.md")
    else:
        readme = "" if commit is None else _of_the_hub(model, commit, token)
    return replace(known, license=licence_in(readme) or known.license, citation=citation_in(readme) or known.citation) if readme else known


def _found(model: str, revision: str | None, token: bool | None) -> tuple[Path | None, str | None]:
    """Where weights lie on this machine, or their commit on the Hub; neither where they are nowhere, or the Hub is out of reach."""
    try:
        path = weights_path(model)
        return path, None if path is not None or model == SMOLLM2 else commit_of(model, revision, token)
    except DreamframeError:
        return None, None


def _of_the_hub(model: str, commit: str, token: bool | None) -> str:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    try:
        return _text(Path(hf_hub_download(str(model), "README.md", revision=commit, token=token)))
    except (HTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled, OSError, ValueError):
        return ""


def _text(file: Path) -> str:
    if not file.is_file():
        return ""
    with file.open("rb") as opened:
        return opened.read(MOST).decode("utf-8", "replace")
