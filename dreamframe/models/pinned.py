"""Settings whose weights lie on this machine, where they may be replaced while the process goes on: pinned to what they are when a question is made."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

from dreamframe.errors import SourceChangedError
from dreamframe.identity.fingerprint import file_digest, fingerprint
from dreamframe.models.base import Artefact
from dreamframe.models.edges import Trained
from dreamframe.models.local.stated import weights_provenance
from dreamframe.models.local.weights import KeptWeights, Pinned, file_memo
from dreamframe.models.provenance import Provenance


class OfWeights:
    """A model in this process. The key of its answers, the client that is asked and the check of what was loaded see one digest, taken once (`pinned`)."""

    named: ClassVar[tuple[str, ...]] = ("model", "adapter")  # fields that name weights; `identity_fields()` tells of each what it is

    def identity_fields(self) -> Mapping[str, object]:
        return super().identity_fields()  # type: ignore[misc, no-any-return]

    def pinned(self) -> Self:
        """The same settings, whose names of weights know what they stand for at this moment; themselves where they know it already."""
        loose = [f for f in self.named if isinstance(v := getattr(self, f, None), str) and not isinstance(v, Pinned | KeptWeights)]
        if not loose:
            return self
        seen, made = self.identity_fields(), copy.copy(self)
        for name in loose:
            object.__setattr__(made, name, Pinned.of(getattr(self, name), seen[name]))
        return made

    def provenance(self) -> tuple[Provenance, ...]:
        """Of each of its weights what they are, for the cards: their README says it, or their name. Models of the plan speak for themselves."""
        told: dict[str, Any] = {"token": self.hub_token, "may_open": self.may_open}  # type: ignore[attr-defined]
        held = [(f, v) for f in self.named if isinstance(v := getattr(self, f, None), str)]
        return tuple(weights_provenance(v, revision=getattr(self, "revision", None) if f == "model" else None, **told) for f, v in held)

    def weights_names(self) -> tuple[str, ...]:
        """The names of its weights, whatever they stand for: what was loaded from them once is not what is loaded from them later."""
        return tuple(v.path if isinstance(v, Artefact) else str(v) for f in self.named if (v := getattr(self, f, None)) is not None)

    def weights_key(self) -> str:
        """What its weights are, so that the client of replaced weights is not asked in the name of the new ones. Stays in memory."""
        held = [getattr(self, f, None) for f in self.named]
        if any(isinstance(v, str) for v in held):
            seen = self.identity_fields()
            held = [seen[f] if isinstance(v, str) else v for f, v in zip(self.named, held, strict=True)]
        known = [f"untrained {id(v.step)}" if isinstance(v, Trained) else v for v in held]
        return f"{self.weights_names()} {fingerprint(known)}"

    def check_weights(self) -> None:
        """Raise SourceChangedError where weights are no longer what the settings are pinned to: what was loaded may be of either."""
        for name in self.named:
            if isinstance(made := getattr(self, name, None), Artefact) and not _is_as_trained(made):
                raise SourceChangedError(f"{made.path}: the files of this trained model are not those that its training wrote. Put them back, or remove it.")
        pins = {f: v for f in self.named if isinstance(v := getattr(self, f, None), Pinned) and isinstance(v.identity, str)}
        if not pins:
            return
        loose = copy.copy(self)
        for name, pin in pins.items():
            object.__setattr__(loose, name, str(pin))
        now = loose.identity_fields()
        for name, pin in pins.items():
            if now[name] != pin.identity:
                raise changed(self, str(pin))


def _is_as_trained(model: Artefact) -> bool:
    """Whether a trained model's files are those that its record lists."""
    folder = Path(model.path)
    if not (folder / "training.json").is_file():
        return True  # not from a session
    record = json.loads((folder / "training.json").read_text())
    listed: Mapping[str, Mapping[str, object]] = record.get("files") or {}
    whole = all((folder / name).is_file() and file_digest(folder / name, file_memo()) == said.get("xxh3_128") for name, said in listed.items())
    return whole and record.get("key", model.key) == model.key


def changed(of: Any, name: str) -> SourceChangedError:
    """The error of weights that are no longer what a run began with."""
    return SourceChangedError(f"{of.label}: the weights {name} were replaced while the run was on. Nothing of the new ones is kept; run again.")
