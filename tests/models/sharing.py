"""What a stranger and the maker of the quickstart do with it, each as a process of its own.

    python -m tests.models.sharing push|load|replay FOLDER

Prints a line of JSON.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import polars as pl

import dreamframe as dr
from dreamframe.errors import OfflineError

TOKEN = "hf_loopbackSecret0123456789"


def push(folder: Path) -> dict[str, Any]:
    """Publish the rows, and the tuned model in whole weights, as the session keeps them."""
    with dr.Session(folder / "output", offline=True, progress=False) as session:
        rows, model = session.plan("filter"), session.plan("sft")
        assert isinstance(rows, dr.Frame)
        assert isinstance(model, dr.Model)
        done = [rows.push_to_hub("me/reviews", splits={"train": 0.9, "held_out": 0.1}, token=TOKEN), model.push_to_hub("me/moods", merge=True, token=TOKEN)]
        return {"written": [list(d.written) for d in done], "usage": session.usage()}


def load(folder: Path) -> dict[str, Any]:
    """With the libraries alone."""
    from datasets import load_dataset
    from huggingface_hub import DatasetCard, ModelCard
    from transformers import pipeline

    rows = load_dataset("me/reviews")
    for card in (DatasetCard.load("me/reviews"), ModelCard.load("me/moods")):
        card.validate()
    ask = pipeline("text-generation", model="me/moods", device="cpu")
    talk = [{"role": "user", "content": rows["held_out"][0]["review"]}]
    said = ask(talk, max_new_tokens=4, do_sample=False, return_full_text=False)[0]["generated_text"]
    return {"rows": {name: part.to_dict() for name, part in rows.items()}, "said": said, "base": ModelCard.load("me/moods").data.base_model}


def replay(folder: Path) -> dict[str, Any]:
    """Every plan of the session, offline."""
    with dr.Session(folder / "output", offline=True, progress=False) as session:
        made: dict[str, Any] = {}
        for plan in session.plans():
            found = session.plan(plan.name)
            try:
                made[plan.label] = found.collect().write_json() if isinstance(found, dr.Frame) else sorted(p.name for p in found.path.iterdir())
            except OfflineError as exc:
                return {"missing": str(exc), "usage": session.usage()}
        return {"made": made, "usage": session.usage(), "torch": "torch" in sys.modules}


if __name__ == "__main__":
    pl.Config.set_tbl_rows(5)
    print(json.dumps({"push": push, "load": load, "replay": replay}[sys.argv[1]](Path(sys.argv[2]))))
