"""Models of this process beside the same engines driven by hand: `python -m benchmarks.local` prints JSON.

Of each pair the median ratio of paired rounds counts (benchmarks/paired.py); above 1 dreamframe is the faster one. Both have the same threads and sizes of
batches. `--clock cpu` compares processor time instead of time: on a machine that others use, it is the steadier one.
"""

from __future__ import annotations

import argparse
import ast
import csv
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import polars as pl

import dreamframe as dr
from benchmarks import by_hand
from benchmarks.figures import Figure, report
from benchmarks.paired import CLOCKS, Pair
from dreamframe.models.local.constrained import grammar
from dreamframe.models.local.cores import free_cores
from dreamframe.models.local.weights import MINILM, SMOLLM2, local_weights, smollm2_gguf
from dreamframe.prompts.answer_schema import AnswerSchema

LEAST = 0.97  # of the engine driven by hand
HELD = 0.9  # decoding under a schema, of free decoding
REVIEWS = [row["review"] for row in csv.DictReader((Path(__file__).parents[1] / "examples" / "reviews.csv").open())]
SCHEMA = {"mood": Literal["positive", "negative", "mixed"], "stars": Literal[1, 2, 3, 4, 5], "about": Literal["quality", "price", "delivery", "use"]}
HELD_TOKENS = 24  # a little more than an answer under the schema has
INSTRUCTIONS = (
    "You read reviews that customers of a shop wrote. Say in a few words what the customer liked or did not like, and nothing else. Do not repeat the "
    "review, do not greet, and do not explain how you came to the answer. If the review says nothing of the product, say so. Here is the review.\n\n"
)
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


def questions_of(n: int) -> list[str]:
    """n questions about documents, four about each, shuffled."""
    asked = ("What is it about?", "Is the writer content?", "Name one product.", "Would the writer buy there again?")
    documents = [" ".join((REVIEWS * 2)[i : i + 8]) for i in range(0, 40, 2)]
    found = [f"{documents[i // 4 % len(documents)]}\n\n{asked[i % 4]}" for i in range(n)]
    random.Random(0).shuffle(found)
    return found


def held_by() -> str:
    """The grammar of the schema, for both ways: another one gives other answers, of other lengths."""
    held = AnswerSchema.of(SCHEMA)
    assert held is not None
    return grammar(held.json_schema)


def ours(llm: Any, prompts: Sequence[str], schema: Any = None) -> int:
    """The plan a user would write; the tokens that came back."""
    with dr.Session(None, progress=False) as session:
        dr.frame({"t": list(prompts)}).prompt(llm, "{t}", schema=schema, on_error="null").collect()
        return int(session.usage()["tokens_out"])


def transformers(given: argparse.Namespace) -> Iterator[Pair]:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.set_num_threads(given.threads)
    folder, rows = local_weights(SMOLLM2), given.batch
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()

    def way(prompts: Sequence[str], schema: Any, max_tokens: int) -> Callable[[], int]:
        longest = max(len(ids) for ids in tokenizer(by_hand.chats(tokenizer, prompts), add_special_tokens=False)["input_ids"])
        settings = {"temperature": 0, "threads": given.threads, "batch_tokens": rows * (longest + max_tokens)}
        return partial(ours, dr.Transformers(SMOLLM2, max_tokens=max_tokens, **settings), prompts, schema)

    def pair(what: str, prompts: Sequence[str], held: bool = False) -> Pair:
        max_tokens = HELD_TOKENS if held else given.max_tokens
        other = partial(by_hand.generate, model, tokenizer, prompts, rows=rows, max_tokens=max_tokens, grammar=held_by() if held else None)
        return Pair(f"transformers, {what}", "tokens", way(prompts, SCHEMA if held else None, max_tokens), other, LEAST)

    prompts = prompts_of(given.rows)
    yield pair("text", prompts)
    yield pair("text after the same instructions", [INSTRUCTIONS + p for p in prompts_of(given.rows)])
    yield pair("questions about shared documents", questions_of(given.rows))
    yield pair("schema", prompts, held=True)
    yield Pair("transformers, schema over free text", "tokens", way(prompts, SCHEMA, HELD_TOKENS), free(way(prompts, SCHEMA, HELD_TOKENS), prompts, way), HELD)


def free(held: Callable[[], int], prompts: Sequence[str], way: Callable[[Sequence[str], Any, int], Callable[[], int]]) -> Callable[[], int]:
    """Free decoding of as many tokens as the answers under the schema have."""
    return way(prompts, None, round(held() / len(prompts)))


def llamacpp(given: argparse.Namespace) -> Iterator[Pair]:
    from dreamframe.models.llms.llamacpp import serve

    prompts, how = prompts_of(given.rows), {"threads": given.threads, "slots": given.slots}
    server = serve(dr.LlamaCpp(smollm2_gguf(), **how), 4096)

    def way(prompts: Sequence[str], schema: Any, max_tokens: int) -> Callable[[], int]:
        return partial(ours, dr.SmolLM2(temperature=0, max_tokens=max_tokens, **how), prompts, schema)

    other = partial(by_hand.llamacpp, server, prompts, slots=given.slots)
    yield Pair("llama.cpp, text", "tokens", way(prompts, None, given.max_tokens), partial(other, max_tokens=given.max_tokens), LEAST)
    held = way(prompts, SCHEMA, HELD_TOKENS)
    yield Pair("llama.cpp, schema", "tokens", held, partial(other, max_tokens=HELD_TOKENS, grammar=held_by()), LEAST)
    yield Pair("llama.cpp, schema over free text", "tokens", held, free(held, prompts, way), HELD)
    yield replicas(given, prompts)


def replicas(given: argparse.Namespace, prompts: Sequence[str]) -> Pair:
    """Two processes that share the threads which one has."""
    how = {"temperature": 0, "max_tokens": given.max_tokens, "slots": 1}
    two, one = dr.SmolLM2(replicas=2, threads=max(1, given.threads // 2), **how), dr.SmolLM2(threads=given.threads, **how)
    return Pair("llama.cpp, replicas=2 over one process", "tokens", partial(ours, two, prompts), partial(ours, one, prompts), 1.0)


def embeddings(given: argparse.Namespace) -> Iterator[Pair]:
    import torch
    from sentence_transformers import SentenceTransformer

    from dreamframe.models.embedders import onnx
    from dreamframe.models.embedders.llamacpp import LlamaCppEmbedderClient

    torch.set_num_threads(given.threads)
    texts, rows = prompts_of(given.texts), 16
    model = SentenceTransformer(str(local_weights(MINILM)), device="cpu")

    def way(embedder: Any, texts: Sequence[str]) -> int:
        with dr.Session(None, progress=False):
            return dr.frame({"t": list(texts)}).embed(embedder, "t").collect().height

    def encode() -> int:
        return len(model.encode(texts, batch_size=rows, normalize_embeddings=True, show_progress_bar=False))

    yield Pair("MiniLM by torch", "texts", partial(way, dr.MiniLM(threads=given.threads, backend="torch"), texts), encode, LEAST)
    if onnx.is_installed():
        graph = onnx._graph(model[0].model, local_weights(MINILM))
        session = onnx.OnnxModel(model[0].model, graph, given.threads)._session
        other = partial(by_hand.onnx_vectors, session, model.tokenizer, texts, rows=rows)
        yield Pair("MiniLM by onnxruntime", "texts", partial(way, dr.MiniLM(threads=given.threads), texts), other, LEAST)
    gguf = dr.LlamaCppEmbedder(smollm2_gguf(), pooling="mean", n_ctx=512, threads=given.threads)
    few = texts[: given.rows]
    server = LlamaCppEmbedderClient(gguf).load()[0]
    yield Pair("vectors by llama.cpp", "texts", partial(way, gguf, few), partial(by_hand.llamacpp_vectors, server, few), LEAST)


def starts(n: int) -> list[Figure]:
    """A fresh process to its first token, and a re-run that loads nothing."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", FIRST_TOKEN], check=True)
    took_s = time.perf_counter() - began
    texts = prompts_of(n)
    with tempfile.TemporaryDirectory() as folder:
        with dr.Session(folder, progress=False):
            dr.frame(pl.DataFrame({"t": texts})).prompt(dr.SmolLM2(max_tokens=4, temperature=0), "{t}").collect()
        done = subprocess.run([sys.executable, "-c", CACHED % (folder, texts)], check=True, capture_output=True, text=True).stdout.strip()
    calls, engines = int(done.split(" ", 1)[0]), ast.literal_eval(done[done.index("[") : done.index("]") + 1])
    return [
        Figure("first token of a fresh process", round(took_s, 2), "s", most=5.0),
        Figure("calls of a second run, and engines that it imports", calls + len(engines), "calls and engines", most=0),
    ]


PARTS: dict[str, Callable[[argparse.Namespace], Iterator[Pair]]] = {"llamacpp": llamacpp, "transformers": transformers, "embeddings": embeddings}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=24, help="prompts of a round")
    parser.add_argument("--texts", type=int, default=200, help="texts of a round that are embedded")
    parser.add_argument("--batch", type=int, default=8, help="prompts of a batch, of both ways")
    parser.add_argument("--slots", type=int, default=4)
    parser.add_argument("--max-tokens", type=int, default=12)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--only", choices=[*PARTS, "starts"])
    parser.add_argument("--pair", default="", help="only pairs whose name holds this")
    parser.add_argument("--clock", choices=list(CLOCKS), default="wall")
    given = parser.parse_args()
    given.threads = given.threads or free_cores()
    figures, found = [], {}
    for name, part in PARTS.items():
        for pair in part(given) if given.only in (None, name) else ():
            if given.pair in pair.name:
                found[pair.name] = made = pair.measured(given.rounds, clock=given.clock)
                ours, other = (made[f"{who}_{pair.unit}_per_{given.clock}_s"] for who in ("ours", "other"))
                figures.append(Figure(pair.name, ours, f"{pair.unit}/s", other, "by hand", least=pair.least, median_ratio=made["ratio"]))
    if given.only in (None, "starts"):
        figures += starts(20)
    sys.exit(not report("local", figures, threads=given.threads, clock=given.clock, pairs=found))


if __name__ == "__main__":
    main()
