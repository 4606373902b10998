"""Models on a GPU beside loops written by hand, in one run of at most 8 minutes: `python -m benchmarks.gpu` prints JSON.

Parts: answers in bfloat16, memory that runs out, fine-tuning with LoRA, the same under DistributedDataParallel on one device, embeddings. Each says tokens a
second, the peak of memory beside what was held before, and the ratio to the loop by hand. Models have random weights and are made on the spot
(benchmarks/random_models.py), so nothing is downloaded. Where there is no CUDA device, one line says so and the code is 0; where a package lacks, one line
says which and the code is 1: `pip download --only-binary=:all: -d wheels …` elsewhere, `pip install --no-index --no-deps --find-links wheels …` there.
`--device cpu --small` runs every part that needs no device once, in a tiny size: its figures say nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib.util
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

NEEDED = "torch transformers accelerate polars pyarrow nanoarrow xxhash httptools aiohappyeyeballs pydantic jsonschema rich typer".split()  # noqa: SIM905
FOR_PARTS = {"sft": ["trl", "peft", "datasets"], "ddp": ["trl", "peft", "datasets"], "embeddings": ["sentence_transformers"]}
MOST_S = 480.0  # of all parts; one that would begin later is left out, and said to be
GB = 1e9


class Bench:
    """Where it runs, how large things are, and how a way is measured."""

    def __init__(self, device: str, small: bool, rounds: int) -> None:
        from benchmarks.random_models import Size

        self.device, self.small, self.rounds = device, small, rounds
        self.size = Size(2, 64, 4, words=500) if small else Size(16, 2048, 32)
        self.folder = tempfile.TemporaryDirectory(prefix="dreamframe-gpu-")
        self.place = Path(self.folder.name)
        self._language_model: Path | None = None

    @property
    def language_model(self) -> Path:
        from benchmarks.random_models import language_model

        self._language_model = self._language_model or language_model(self.place / "llm", self.size)
        return self._language_model

    def texts(self, n: int, least: int, most: int, seed: int = 0) -> list[str]:
        from benchmarks.random_models import texts

        return texts(n, least=least, most=most, words=self.size.words, seed=seed)

    def compared(self, ours: Callable[[], int], by_hand: Callable[[], int], *, rounds: int | None = None, warm: bool = True) -> dict[str, Any]:
        """Both ways in turn: medians of their tokens a second, their peaks, and the median of the ratios of the rounds."""
        ways = {"ours": ours, "by_hand": by_hand}
        for way in ways.values() if warm else ():
            way()
        seen: list[dict[str, dict[str, float]]] = []
        for i in range(rounds or self.rounds):
            seen.append({who: self.once(ways[who]) for who in (list(ways) if i % 2 else list(ways)[::-1])})
        return {**{who: _middle([s[who] for s in seen]) for who in ways}, "ratio": _ratio(seen), "rounds": len(seen)}

    def once(self, way: Callable[[], Any]) -> dict[str, float]:
        """One round. A way gives the number of tokens, or that and the seconds that count."""
        import torch

        gc.collect()
        on_gpu = self.device == "cuda"
        if on_gpu:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
            torch.cuda.synchronize()
        before, began = torch.cuda.memory_allocated() if on_gpu else 0, time.perf_counter()
        made = way()
        if on_gpu:
            torch.cuda.synchronize()
        n, seconds = made if isinstance(made, tuple) else (made, time.perf_counter() - began)
        peak = {"peak_gb": (torch.cuda.max_memory_allocated() - before) / GB} if on_gpu else {}
        return {"tokens_per_s": n / seconds, **peak}


def _middle(seen: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: round(median(s[name] for s in seen), 3) for name in seen[0]}


def _ratio(seen: Sequence[dict[str, dict[str, float]]]) -> float:
    return round(median(s["ours"]["tokens_per_s"] / s["by_hand"]["tokens_per_s"] for s in seen), 3)


def answers(bench: Bench) -> dict[str, Any]:
    """dr.Transformers in bfloat16, batches by token budget, beside transformers' own generate in sorted batches of as many rows."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    import dreamframe as dr
    from benchmarks import by_hand

    n, longest, max_tokens, rows = (8, 30, 4, 4) if bench.small else (512, 384, 64, 64)
    prompts = bench.texts(n, longest // 6, longest)
    tokenizer = AutoTokenizer.from_pretrained(bench.language_model, padding_side="left")
    model = AutoModelForCausalLM.from_pretrained(bench.language_model, dtype=torch.bfloat16).to(bench.device).eval()
    budget = rows * (longest + 8 + max_tokens)
    llm = dr.Transformers(
        bench.language_model, dtype="bfloat16", device=bench.device, temperature=0, max_tokens=max_tokens, batch_tokens=budget, concurrency=512
    )

    def plan() -> int:
        with dr.Session(None, progress=False) as session:
            dr.frame({"t": prompts}).prompt(llm, "{t}", on_error="null").collect()  # random weights may say nothing but marks
            return int(session.usage()["tokens_out"])

    found = bench.compared(plan, lambda: by_hand.generate(model, tokenizer, prompts, rows=rows, max_tokens=max_tokens))
    llm.unload()
    return {**found, "rows": n, "new_tokens": max_tokens, "batch_tokens": budget}


def memory(bench: Bench) -> dict[str, Any]:
    """A budget far over what the process may take of the device: batches are halved until they fit, and every row is answered; beside halving by hand."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    import dreamframe as dr
    from benchmarks import by_hand

    n, longest, max_tokens = (6, 40, 4) if bench.small else (256, 1000, 32)
    prompts = bench.texts(n, longest * 9 // 10, longest, seed=1)
    tokenizer = AutoTokenizer.from_pretrained(bench.language_model, padding_side="left")
    model = AutoModelForCausalLM.from_pretrained(bench.language_model, dtype=torch.bfloat16).to(bench.device).eval()
    at_first, device = 10**7, bench.device
    llm = dr.Transformers(bench.language_model, dtype="bfloat16", device=device, temperature=0, max_tokens=max_tokens, batch_tokens=at_first, concurrency=n)
    budgets: list[int] = []

    def plan(asked: Sequence[str] = prompts) -> int:
        with dr.Session(None, progress=False) as session:
            dr.frame({"t": asked}).prompt(llm, "{t}", on_error="null").collect()
            budgets.append(budget_of(llm))
            answered, made = session.usage()["calls"], int(session.usage()["tokens_out"])
        assert answered == len(asked), f"{answered} of {len(asked)} rows were answered"
        return made

    def halving() -> int:
        rows = n
        while rows:
            try:
                return by_hand.generate(model, tokenizer, prompts, rows=rows, max_tokens=max_tokens)
            except torch.OutOfMemoryError:
                torch.cuda.empty_cache()
                rows //= 2
        raise AssertionError("not even one row fits")

    plan(prompts[:1])  # loads the weights
    limit = contextlib.nullcontext() if device == "cpu" else allowed(2 * sum(p.numel() * p.element_size() for p in model.parameters()) + 6 * GB)
    try:
        with limit:  # both models, and far less than all rows need at once
            found = bench.compared(plan, halving, rounds=1, warm=False)
    finally:
        llm.unload()
    return {**found, "rows": n, "batch_tokens_at_first": at_first, "batch_tokens_at_last": budgets[-1], "was_halved": budgets[-1] < at_first}


@contextlib.contextmanager
def allowed(n_bytes: float) -> Iterator[None]:
    """While this process may take no more of the device's memory."""
    import torch

    torch.cuda.set_per_process_memory_fraction(min(1.0, n_bytes / torch.cuda.get_device_properties(0).total_memory))
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


def budget_of(llm: Any) -> int:
    """The budget that a loaded model has come to."""
    from dreamframe.models.local.memory import _of_loops

    return next(m._ready.result()[1].budget for loaded in _of_loops.values() for m in loaded.models if m.settings.model == llm.model)


def sft(bench: Bench) -> dict[str, Any]:
    """dr.SFT with LoRA on rows of one length beside a loop by hand: the seconds from the first step to the saved adapter."""
    import dreamframe as dr
    from benchmarks.train_by_hand import train

    texts, spec = _training(bench)
    width, n_tokens = spec["batch_size"], len(texts[0].split()) + 1

    def ours() -> tuple[int, float]:
        with tempfile.TemporaryDirectory() as folder, dr.Session(folder, progress=False):
            told = dr.frame({"text": texts}).train(_trainer(bench, spec)).summary()
        return spec["steps"] * width * n_tokens, told["train_s"]

    found = bench.compared(ours, lambda: (spec["steps"] * width * n_tokens, train(**spec)["train_s"]), rounds=1 if bench.small else 2, warm=False)
    return {**found, "steps": spec["steps"], "batch_size": width, "tokens_of_a_row": n_tokens}


def ddp(bench: Bench) -> dict[str, Any]:
    """The same in one process of torch.distributed.run, under DistributedDataParallel; memory is that of the whole device."""
    import polars as pl

    from dreamframe.trainers.distributed import launch
    from dreamframe.trainers.job import TrainJob

    texts, spec = _training(bench)
    n = spec["steps"] * spec["batch_size"] * (len(texts[0].split()) + 1)
    place = bench.place / "ddp"
    place.mkdir()
    pl.DataFrame({"text": texts}).write_ipc(place / "rows.arrow")

    def ours() -> tuple[int, float]:
        workdir = Path(tempfile.mkdtemp(dir=place))
        told = launch(_trainer(bench, spec), TrainJob(rows=place / "rows.arrow", workdir=workdir, out=workdir / "out", base=bench.language_model))
        return n, told["train_s"]

    def by_hand() -> tuple[int, float]:
        (place / "spec.json").write_text(json.dumps(spec))
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=1", "-m", "benchmarks.train_by_hand"]
        done = subprocess.run([*command, str(place / "spec.json")], check=True, capture_output=True, text=True)
        return n, json.loads(done.stdout.splitlines()[-1])["train_s"]

    seen: dict[str, dict[str, float]] = {}
    for who, way in {"ours": ours, "by_hand": by_hand}.items():
        with Watched(bench.device) as watched:
            seen[who] = bench.once(way)
        seen[who]["peak_gb"] = watched.peak / GB
    return {**{who: _middle([s]) for who, s in seen.items()}, "ratio": _ratio([seen]), "rounds": 1, "steps": spec["steps"]}


def _training(bench: Bench) -> tuple[list[str], dict[str, Any]]:
    steps, width, tokens = (2, 2, 20) if bench.small else (40, 16, 512)
    texts = bench.texts(steps * width, tokens, tokens, seed=2)
    out = str(bench.place / "by-hand")
    return texts, {
        "model": str(bench.language_model), "texts": texts, "out": out, "steps": steps, "batch_size": width, "device": bench.device, "lora": 8,
    }  # fmt: skip


def _trainer(bench: Bench, spec: dict[str, Any]) -> Any:
    import dreamframe as dr

    how = {"steps": spec["steps"], "batch_size": spec["batch_size"], "peft": {"r": spec["lora"]}, "learning_rate": 2e-4}
    return dr.SFT(bench.language_model, **how, device="cpu" if bench.device == "cpu" else "cuda:0", checkpoint_s=3600.0)


class Watched:
    """The most memory of the device that was in use meanwhile, above what was in use before: of other processes too."""

    def __init__(self, device: str) -> None:
        self._on_gpu, self._over, self.peak = device == "cuda", threading.Event(), 0.0
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Watched:
        self._before = self._used()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.05):
            self.peak = max(self.peak, self._used() - self._before)

    def _used(self) -> float:
        import torch

        free, total = torch.cuda.mem_get_info() if self._on_gpu else (0, 0)
        return float(total - free)


def embeddings(bench: Bench) -> dict[str, Any]:
    """dr.SentenceTransformer in bfloat16 beside encode of the library, which sorts by length itself."""
    from sentence_transformers import SentenceTransformer

    import dreamframe as dr
    from benchmarks.random_models import Size, embedder

    n, longest = (8, 30) if bench.small else (8192, 240)
    size = Size(2, 64, 4, words=500) if bench.small else Size(12, 768, 12)
    folder, texts = embedder(bench.place / "embedder", size), bench.texts(n, longest // 8, longest, seed=3)
    n_tokens, dtype = sum(len(t.split()) for t in texts), "float32" if bench.device == "cpu" else "bfloat16"
    model = SentenceTransformer(str(folder), device=bench.device, model_kwargs={"dtype": dtype})
    ours = dr.SentenceTransformer(folder, device=bench.device, dtype=dtype, backend="torch", concurrency=1024)

    def plan() -> int:
        with dr.Session(None, progress=False):
            assert dr.frame({"t": texts}).embed(ours, "t").collect().height == n
        return n_tokens

    def encode() -> int:
        assert len(model.encode(texts, batch_size=64, normalize_embeddings=True, show_progress_bar=False)) == n
        return n_tokens

    found = bench.compared(plan, encode)
    ours.unload()
    return {**found, "texts": n}


PARTS: dict[str, Callable[[Bench], dict[str, Any]]] = {"answers": answers, "memory": memory, "embeddings": embeddings, "sft": sft, "ddp": ddp}


def lacking(names: Sequence[str]) -> list[str]:
    return [n for n in names if importlib.util.find_spec(n) is None]


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    options.add_argument("--small", action="store_true", help="tiny sizes, to see that everything runs")
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--only", choices=list(PARTS))
    given = options.parse_args()
    if lacks := lacking(["torch"]):
        print(json.dumps({"device": None, "lacking": lacks}))
        return 1
    import torch

    if given.device == "cuda" and not torch.cuda.is_available():
        print(json.dumps({"device": None, "said": f"no CUDA device here (torch {torch.__version__}): nothing is measured"}))
        return 0
    name = torch.cuda.get_device_name() if given.device == "cuda" else "cpu"
    if lacks := lacking(NEEDED):
        print(json.dumps({"device": name, "lacking": lacks, "said": "install these packages first: pip install " + " ".join(lacks)}))
        return 1
    bench, began, found = Bench(given.device, given.small, 1 if given.small else given.rounds), time.perf_counter(), {}
    for part, measure in PARTS.items():
        if given.only in (None, part):
            found[part] = _part(part, measure, bench, late=time.perf_counter() - began > 0.8 * MOST_S)
            print(f"{part}: {json.dumps(found[part])}", file=sys.stderr, flush=True)
    versions = {n: importlib.import_module(n).__version__ for n in ("torch", "transformers")}
    print(json.dumps({"device": name, "small": given.small, **versions, "seconds": round(time.perf_counter() - began, 1), **found}, indent=1))
    return int(any("error" in f for f in found.values()))


def _part(part: str, measure: Callable[[Bench], dict[str, Any]], bench: Bench, *, late: bool) -> dict[str, Any]:
    """A part's figures, or why there are none: one that fails takes no other with it."""
    if lacks := lacking(FOR_PARTS.get(part, [])):
        return {"left_out": f"not installed: {', '.join(lacks)}"}
    if late:
        return {"left_out": f"{MOST_S:.0f} s are nearly over"}
    try:
        return measure(bench)
    except Exception as exc:  # noqa: BLE001  whatever a device's libraries raise
        return {"error": f"{type(exc).__name__}: {exc}"}


if __name__ == "__main__":
    sys.exit(main())
