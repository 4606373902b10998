"""Publishing to a Hub, and loading from it, as a process of its own: HF_ENDPOINT is read when the libraries are imported.

    python -m tests.faults.publisher rows|edited|model|merged|load|stream|unreachable|edited by hand[,…] FOLDER [BASE]

Does one thing after the other, each in a session of its own, and prints a line of JSON for each: the libraries are imported once.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dreamframe as dr

ROWS = {"review": [f"review {i} = fine" for i in range(40)], "stars": list(range(40))}
LORA = {"r": 2, "target_modules": ["q_proj", "v_proj"]}
TOKEN = "hf_loopbackSecret0123456789"


def said(done: Any) -> dict[str, Any]:
    return {"commit": done.commit, "written": done.written, "removed": done.removed, "is_new": done.is_new, "repr": repr(done), "url": done.url}


def main(things: str, folder: str, base: str = "") -> None:
    from dreamframe.hub import push as publish

    publish.SHARD_BYTES = 250  # a few shards
    for what in things.split(","):
        do(what, folder, base)


def moods() -> dr.Frame:
    return dr.frame(ROWS).prompt(dr.testing.Echo(), "Mood of {review}", into="mood")


def tuned(df: dr.Frame, base: str) -> dr.Model:
    return df.head(8).train(dr.SFT(base, peft=LORA, steps=2, batch_size=2, device="cpu"), prompt="review", completion="mood")


def do(what: str, folder: str, base: str) -> None:
    df = moods()
    with dr.Session(Path(folder) / "session", progress=False):
        if what in ("rows", "edited"):
            df = df if what == "rows" else df.head(9)
            print(json.dumps(said(df.push_to_hub("me/reviews", splits={"train": 0.75, "test": 0.25}, token=TOKEN))))
        elif what in ("model", "merged"):
            print(json.dumps(said(tuned(df, base).push_to_hub(f"me/{what}", merge=what == "merged", token=TOKEN))))
        elif what == "unreachable":
            print(json.dumps({"errors": [error_of(f) for f in unreachable(df)]}))
        elif what == "stream":
            stream()
        elif what == "edited by hand":
            edited_by_hand()
        else:
            load(base)


def unreachable(df: dr.Frame) -> list[Callable[[], object]]:
    """What needs a Hub."""
    llm = dr.Transformers("org/model")
    return [lambda: df.push_to_hub("me/reviews", token=TOKEN), lambda: dr.scan_hub("me/reviews", token=TOKEN), llm.identity_fields]


def error_of(call: Callable[[], object]) -> tuple[str, str]:
    """The kind and the text of the error that a call ends in."""
    try:
        call()
    except dr.errors.DreamframeError as exc:
        return type(exc).__name__, str(exc)
    return "none", ""


def stream() -> None:
    """The first rows of a data set, and no more of it; then the same without a network."""
    os.environ["HF_DATASETS_OFFLINE"] = "0"
    with dr.Session("streamed", progress=False):
        found = dr.scan_hub("me/reviews", split="train", streaming=True)
        plan = found.prompt(dr.testing.Echo(), "{mood}", into="x").head(2)
        rows, explained = plan.collect(), plan.explain()
        error_of(lambda: dr.scan_hub("me/after-two"))  # for the server's log: what was asked before was for the two rows
        whole = found.collect().height
        error_of(lambda: dr.scan_hub("me/after-all"))
    os.environ["HF_ENDPOINT"] = "http://127.0.0.1:9"
    with dr.Session("streamed", progress=False, offline=True) as session:
        again = dr.scan_hub("me/reviews", split="train", streaming=True).prompt(dr.testing.Echo(), "{mood}", into="x").head(2).collect()
        kept = session.plan("head").collect()  # type: ignore[union-attr]
    print(json.dumps({"rows": rows.to_dicts(), "explain": explained, "whole": whole, "offline": again.equals(rows), "kept": kept.equals(rows)}))


def edited_by_hand() -> None:
    """Cards of models of the Hub; and rows that are pushed again after somebody edited their README."""
    from huggingface_hub import HfApi, hf_hub_download

    asked = [dr.frame({"q": ["a"]}).prompt(llm, "{q}").card() for llm in (dr.Transformers("org/micro"), dr.VLLM("org/micro"))]
    trained = dr.frame({"prompt": ["a"], "completion": ["b"]}).train(dr.SFT("org/micro", steps=1)).card("me/tuned")
    rows = dr.frame({"a": [1, 2]}).cite(license="cc0-1.0")
    done = [said(rows.push_to_hub("me/ones", token=TOKEN))]
    text = Path(hf_hub_download("me/ones", "README.md", repo_type="dataset")).read_text()
    head = "annotations_creators:\n- found\nlicense: mit  # by hand: "
    edited = text.replace("license: ", head).replace("# ones", "# Ones\n\nBy hand, above.") + "\nBy hand, below.\n"
    HfApi(token=TOKEN).upload_file(path_or_fileobj=edited.encode(), path_in_repo="README.md", repo_id="me/ones", repo_type="dataset")
    done += [said(frame.push_to_hub("me/ones", token=TOKEN)) for frame in (rows, rows, dr.concat([rows, rows]))]
    plan, other = dr.from_hub("me/ones", token=TOKEN), dr.from_hub("me/ones", rows=[dr.frame({"a": [5]})], token=TOKEN)
    read = {"explain": plan.explain(), "rows": other.collect()["a"].to_list(), "errors": [error_of(c) for c in (plan.collect, lambda: dr.from_hub("me/no"))]}
    print(json.dumps({"asked": asked, "trained": trained, "done": done, "read": read}))


def load(base: str) -> None:
    """What a stranger does, with the libraries alone."""
    from datasets import load_dataset
    from huggingface_hub import DatasetCard, ModelCard, snapshot_download
    from transformers import AutoModelForCausalLM, AutoTokenizer

    rows = load_dataset("me/reviews")
    model = AutoModelForCausalLM.from_pretrained("me/merged")
    tokens = AutoTokenizer.from_pretrained("me/merged")("hello")["input_ids"]
    cards = [DatasetCard.load("me/reviews"), ModelCard.load("me/model"), ModelCard.load("me/merged")]
    for card in cards:
        card.validate()
    adapter = json.loads((Path(snapshot_download("me/model")) / "adapter_config.json").read_text())
    found = {name: part.to_dict() for name, part in rows.items()}
    tuned = dr.Transformers(base, adapter="me/model", temperature=0, max_tokens=3)
    with dr.Session("scanned", progress=False):
        asked = dr.frame({"q": ["a", "b"]}).prompt(tuned, "{q}", into="a").collect().get_column("a").null_count()
        scanned = dr.scan_hub("me/reviews", split="test")
        card = scanned.card("me/again")
        hub = {"rows": scanned.prompt(dr.testing.Echo(), "{mood}", into="x").collect().height, "explain": scanned.explain(), "card": card}
    os.environ["HF_ENDPOINT"] = "http://127.0.0.1:9"  # read when the libraries were imported: the session alone answers
    with dr.Session("scanned", progress=False, offline=True):
        hub["offline"] = dr.scan_hub("me/reviews", split="test").prompt(dr.testing.Echo(), "{mood}", into="x").collect().height
        try:
            dr.scan_hub("me/other")
        except dr.errors.OfflineError as exc:
            hub["missing"] = str(exc)
    told = {"hub": hub, "rows": found, "parameters": model.num_parameters(), "tokens": len(tokens), "tags": cards[0].data.tags, "adapter": adapter}
    print(json.dumps({**told, "unanswered": asked}))


if __name__ == "__main__":
    main(*sys.argv[1:])
