"""A run to be replayed elsewhere, as a process of its own.

    python -m tests.faults.replayer FOLDER URL BASE OUT [offline] [plans]

Two prompts, a filter, a training and the trained model's answers; each frame is written to OUT, and a line of JSON says what it took. With `plans`, the
frames are those that the session keeps: nothing is known here of what they were.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any, Literal

import polars as pl

import dreamframe as dr
from dreamframe.errors import OfflineError

REVIEWS = ["a fine lamp", "it broke at once", "warm and bright", "never again", "my favourite kettle", "too loud", "works well", "a waste"]


def frames(url: str, base: str) -> tuple[dict[str, dr.Frame], dr.Model]:
    """What the quickstart makes, on a server and a micro model."""
    llm = dr.OpenAI("m", base_url=url, temperature=0, api_key=os.environ.get("REPLAY_KEY"))
    rows = dr.frame({"id": range(len(REVIEWS)), "review": REVIEWS})
    moods = rows.prompt(llm, "Mood of: {review}", schema=Literal["positive", "negative"], into="mood")
    reviews = moods.prompt(llm, "Answer: {review} ({mood})", into="reply").filter(pl.col("reply").str.len_chars() > 3)
    train, held_out = reviews.split(train=0.75, held_out=0.25, seed=0)
    model = train.train(dr.SFT(base, steps=2, batch_size=2, device="cpu"), prompt="review", completion="mood")
    tuned = held_out.prompt(model.llm(temperature=0, max_tokens=4), "{review}", into="tuned_mood")
    return {"reviews": reviews, "tuned": tuned}, model


def kept(session: dr.Session) -> tuple[dict[str, dr.Frame], dr.Model]:
    """The same, as the session keeps it."""
    names = {p.columns[-1] if p.columns else "model": p.name for p in session.plans()}
    reviews, tuned, model = (session.plan(names[last]) for last in ("reply", "tuned_mood", "model"))
    assert isinstance(reviews, dr.Frame)
    assert isinstance(tuned, dr.Frame)
    assert isinstance(model, dr.Model)
    return {"reviews": reviews, "tuned": tuned}, model


def replay(folder: str, url: str, base: str, out: str, *options: str) -> dict[str, Any]:
    """Run it, or take it from what the session keeps: what it took."""
    Path(out).mkdir()
    with dr.Session(folder, progress=False, offline="offline" in options) as session:
        made, model = kept(session) if "plans" in options else frames(url, base)
        try:
            for name, frame in made.items():
                frame.write_parquet(Path(out) / f"{name}.parquet")
            weights = sorted([p.name, p.stat().st_size] for p in model.path.iterdir() if p.suffix == ".safetensors")
            return {"usage": session.usage(), "weights": weights, "torch": "torch" in sys.modules}
        except OfflineError as exc:
            return {"missing": str(exc), "usage": session.usage()}


if __name__ == "__main__":
    print(json.dumps(replay(*sys.argv[1:])))
