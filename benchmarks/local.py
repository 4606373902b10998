"""Models of this process beside loops written by hand over the same weights: `python -m benchmarks.local`.

Each pair is measured in turn, so that a busy machine is busy for both; the best round of each counts. Higher ratios are better.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

import dreamframe as dr
from dreamframe.models.local.cores import free_cores
from dreamframe.models.local.weights import MINILM, SMOLLM2, local_weights, smollm2_gguf

REVIEWS = [row["review"] for row in csv.DictReader((Path(__file__).parents[1] / "examples" / "reviews.csv").open())]
FIRST_TOKEN = """
import dreamframe as dr
with dr.Session(None):
    dr.frame({"t": ["Say hello."]}).prompt(dr.SmolLM2(max_tokens=1, temperature=0), "{t}").collect()
"""
CACHED = """
import sys, time, dreamframe as dr
began = time.perf_counter()
with dr.Session(%r) as session:
    rows = dr.frame({"t": %r}).prompt(dr.SmolLM2(max_tokens=4, temperature=0), "{t}").collect()
    print(session.usage()["calls"], sorted({"torch", "transformers", "xllamacpp"} & set(sys.modules)), f"{time.perf_counter() - began:.2f} s")
"""


def prompts_of(n: int) -> list[str]:
    """n texts of mixed length."""
    return [f"{i}. " + " ".join((REVIEWS * 2)[i % 40 : i % 40 + 1 + i % 3]) for i in range(n)]


def ours(llm: Any, prompts: Sequence[str]) -> int:
    """The plan a user would write; the tokens that came back."""
    with dr.Session(None) as session:
        dr.frame({"t": list(prompts)}).prompt(llm, "{t}", on_error="null").collect()
        return int(session.usage()["tokens_out"])


def generate(model: Any, tokenizer: Any, prompts: Sequence[str], *, rows: int, max_tokens: int) -> int:
    """Batches of `rows` prompts sorted by length, through the library's own generate."""
    import torch

    chats = [tokenizer.apply_chat_template([{"role": "user", "content": p}], tokenize=False, add_generation_prompt=True) for p in prompts]
    ordered = sorted(chats, key=len)
    made = 0
    for at in range(0, len(ordered), rows):
        batch = tokenizer(ordered[at : at + rows], return_tensors="pt", padding=True, add_special_tokens=False)
        with torch.inference_mode():
            out = model.generate(**batch, max_new_tokens=max_tokens, do_sample=False, pad_token_id=tokenizer.pad_token_id)
        new = out[:, batch["input_ids"].shape[1] :]
        made += int((new != tokenizer.pad_token_id).sum())
    return made


def direct(server: Any, prompts: Sequence[str], *, slots: int, max_tokens: int) -> int:
    """llama.cpp's engine with one thread a slot and nothing else."""

    def ask(prompt: str) -> int:
        body = {"messages": [{"role": "user", "content": prompt}], "max_tokens": max_tokens, "temperature": 0}
        return int(server.handle_chat_completions(body)["usage"]["completion_tokens"])

    with ThreadPoolExecutor(slots) as pool:
        return sum(pool.map(ask, prompts))


CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}  # processor time, of all threads, is the fairer one on a busy machine
clock = "wall"


def best(rounds: int, ways: dict[str, Callable[[], int]]) -> dict[str, float]:
    """Units a second of each way, the best of its rounds; the ways take turns."""
    rates: dict[str, float] = dict.fromkeys(ways, 0.0)
    for _ in range(rounds):
        for name, way in ways.items():
            began = CLOCKS[clock]()
            made = way()
            rates[name] = max(rates[name], made / (CLOCKS[clock]() - began))
    return rates


FIGURES: dict[str, Any] = {}  # printed as JSON at the end


def figure(name: str, value: float, *, most: float | None = None, least: float | None = None) -> None:
    bound = {"most": most} if most is not None else {"least": least}
    FIGURES[name] = {"value": round(value, 3), **bound, "holds": value <= most if most is not None else value >= (least or 0.0)}


def show(what: str, unit: str, rates: dict[str, float], limits: dict[str, float]) -> None:
    print(f"\n{what}")
    for name, rate in rates.items():
        limit = f"   ours is {rates['ours'] / rate:.2f}x of it (limit {limits[name]}x)" if name in limits else ""
        print(f"  {name:<28}{rate:8.1f} {unit}/s{limit}", flush=True)
        if name in limits:
            figure(f"{what.partition(',')[0]} over {name}", rates["ours"] / rate, least=limits[name])


def transformers(n: int, rounds: int, threads: int, max_tokens: int, rows: int) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.set_num_threads(threads)
    folder = local_weights(SMOLLM2)
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    prompts = prompts_of(n)
    longest = max(len(tokenizer(p)["input_ids"]) for p in prompts) + 30  # and the template
    llm = dr.Transformers(SMOLLM2, temperature=0, max_tokens=max_tokens, threads=threads, batch_tokens=rows * (longest + max_tokens))
    ours(llm, prompts[:2])
    ways = {
        "ours": lambda: ours(llm, prompts),
        "sorted batches by hand": lambda: generate(model, tokenizer, prompts, rows=rows, max_tokens=max_tokens),
        "one by one": lambda: generate(model, tokenizer, prompts, rows=1, max_tokens=max_tokens),
    }
    show(f"Transformers, SmolLM2-135M, {n} prompts, batches of {rows}", "tokens", best(rounds, ways), {"sorted batches by hand": 0.95, "one by one": 1.5})
    llm.unload()


def llamacpp(n: int, rounds: int, threads: int, max_tokens: int, slots: int) -> None:
    from dreamframe.models.llms.llamacpp import serve

    prompts = prompts_of(n)
    llm = dr.SmolLM2(temperature=0, max_tokens=max_tokens, threads=threads, slots=slots)
    server = serve(dr.LlamaCpp(smollm2_gguf(), threads=threads, slots=slots), 4096)
    ours(llm, prompts[:2])
    ways = {"ours": lambda: ours(llm, prompts), "the engine directly": lambda: direct(server, prompts, slots=slots, max_tokens=max_tokens)}
    show(f"LlamaCpp, SmolLM2-135M, {n} prompts, {slots} slots", "tokens", best(rounds, ways), {"the engine directly": 0.95})
    llm.unload()


def embeddings(n: int, rounds: int, threads: int) -> None:
    import torch
    from sentence_transformers import SentenceTransformer

    torch.set_num_threads(threads)
    texts = prompts_of(n)
    model = SentenceTransformer(str(local_weights(MINILM)), device="cpu")
    embedder = dr.MiniLM(threads=threads)

    def plan() -> int:
        with dr.Session(None):
            return dr.frame({"t": texts}).embed(embedder, "t").collect().height

    def by_hand(rows: int) -> Callable[[], int]:  # encode sorts by length itself
        return lambda: len(model.encode(texts, batch_size=rows, normalize_embeddings=True, show_progress_bar=False))

    tokenizer, session = model.tokenizer, onnx_session(model, threads)

    def by_onnx(rows: int) -> int:
        """onnxruntime by hand: sorted, small batches, the mean of the tokens, at length one."""
        ordered, n = sorted(texts, key=len), 0
        for at in range(0, len(ordered), rows):
            held = tokenizer(ordered[at : at + rows], padding=True, truncation=True, max_length=256, return_tensors="np")
            states = session.run(None, {i.name: held[i.name].astype("int64") for i in session.get_inputs()})[0]
            mask = held["attention_mask"][..., None]
            vectors = (states * mask).sum(1) / mask.sum(1)
            n += len(vectors / (vectors**2).sum(1, keepdims=True) ** 0.5)
        return n

    plan()
    ways = {"ours": plan} | {f"encode, batches of {rows}": by_hand(rows) for rows in (8, 16, 32)}
    if session is not None:
        ways |= {f"onnxruntime, batches of {rows}": partial(by_onnx, rows) for rows in (8, 16)}
    rates = best(rounds, ways)
    fastest = max((name for name in rates if name != "ours"), key=rates.__getitem__)
    show(f"Embeddings, MiniLM, {n} texts", "texts", rates, {fastest: 0.95})
    embedder.unload()


def onnx_session(model: Any, threads: int) -> Any:
    """The model's graph in onnxruntime; None where that is not installed."""
    from dreamframe.models.embedders import onnx

    if not onnx.is_installed():
        return None
    return onnx.OnnxModel(model[0].model, onnx._graph(model[0].model, local_weights(MINILM)), threads)._session


def starts(n: int) -> None:
    """A fresh process to its first token, and a re-run that loads nothing."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", FIRST_TOKEN], check=True)
    took_s = time.perf_counter() - began
    print(f"\nfirst token of a fresh dr.SmolLM2() prompt: {took_s:.1f} s after the process started (limit 5 s on an idle machine)")
    figure("seconds to the first token", took_s, most=5.0)
    texts = prompts_of(n)
    with tempfile.TemporaryDirectory() as folder:
        with dr.Session(folder):
            rows = dr.frame(pl.DataFrame({"t": texts})).prompt(dr.SmolLM2(max_tokens=4, temperature=0), "{t}")
            rows.collect()
        done = subprocess.run([sys.executable, "-c", CACHED % (folder, texts)], check=True, capture_output=True, text=True)
    print(f"the same {n} rows again in a new process: calls, engines imported, time: {done.stdout.strip()}")
    figure("calls and engines of a second run", float(not done.stdout.startswith("0 [] ")), most=0.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=48)
    parser.add_argument("--texts", type=int, default=400)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--slots", type=int, default=4)
    parser.add_argument("--max-tokens", type=int, default=16)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=["transformers", "llamacpp", "embeddings", "starts"])
    parser.add_argument("--clock", choices=list(CLOCKS), default="wall")
    given = parser.parse_args()
    global clock
    clock = given.clock
    threads = given.threads or free_cores()
    print(f"{threads} threads, {clock} time, best of {given.rounds} rounds")
    if given.only in (None, "transformers"):
        transformers(given.rows, given.rounds, threads, given.max_tokens, given.batch)
    if given.only in (None, "llamacpp"):
        llamacpp(given.rows, given.rounds, threads, given.max_tokens, given.slots)
    if given.only in (None, "embeddings"):
        embeddings(given.texts, given.rounds, threads)
    if given.only in (None, "starts"):
        starts(20)
    print(json.dumps(FIGURES, indent=1))


if __name__ == "__main__":
    main()
