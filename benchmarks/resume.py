"""What a warm re-run costs: whole steps mapped from disk, and answers found row by row after an edit upstream.

`python -m benchmarks.resume` prints JSON: CPU seconds beyond imports at 10,000 and 100,000 rows, beside a plain Python program that does the least that
such a re-run can do (read a Parquet file; read one, hash every prompt and look it up in a dict), and the time to open a session of 1,000,000 answers. With
`--million`, also re-runs of 1,000,000 rows. `--process` measures whole processes instead: what importing costs beyond polars, and a warm re-run of 3,000 rows
that were asked at a server on loopback, each beside a process that imports polars alone, in turns; the medians count.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure, report
from benchmarks.servers import measure, server

SIZES = (10_000, 100_000)
MOST_WHOLE_S, MOST_ROWS_S, MOST_OPEN_S = 0.7, 2.5, 3.0
MILLION = 1_000_000
MOST_MILLION_S = {"whole": ("whole step", 1.0), "rows": ("row by row", 12.0)}
MOST_IMPORT_S, MOST_PROCESS_S, ROUNDS, PROCESS_ROWS = 0.06, 0.4, 11, 3_000
PROMPT = "Summarise ticket {i}: the printer on floor {floor} has stopped again, and nobody knows why it does so every week."


def plan(n: int, *, edited: bool) -> Any:
    """A prompt over n rows; `edited` changes a column that the prompt does not read, so that the step misses and every answer hits."""
    import polars as pl

    import dreamframe as dr
    from dreamframe.testing import Scripted

    rows = pl.DataFrame({"i": pl.int_range(n, eager=True), "floor": pl.int_range(n, eager=True) % 9, "edit": [int(edited)] * n})
    llm = Scripted(lambda p: p[10:200], model="bench")
    llm.log.keep = False
    return dr.frame(rows).prompt(llm, PROMPT, into="summary"), llm


def ours(folder: Path, n: int, kind: str) -> dict[str, Any]:
    """CPU seconds of one kind of run in this process, imports excluded."""
    import dreamframe as dr
    from dreamframe.run import execute  # noqa: F401  what a run imports counts as imports

    df, llm = plan(n, edited=kind == "rows")
    began = time.process_time()
    with dr.Session(folder / "session", progress=False):
        assert df.collect().height == n
    took = time.process_time() - began
    assert llm.calls == (n if kind == "cold" else 0), (kind, llm.calls)
    return {"cpu_s": took}


def floor(folder: Path, n: int, kind: str) -> dict[str, Any]:
    """The same work by hand."""
    import polars as pl

    began = time.process_time()
    rows = pl.DataFrame({"i": pl.int_range(n, eager=True), "floor": pl.int_range(n, eager=True) % 9})
    if kind == "whole":
        assert pl.read_parquet(folder / "floor.parquet").height == n
    else:
        prompts = [PROMPT.format(**row) for row in rows.iter_rows(named=True)]
        if kind == "cold":
            keys = [hashlib.sha256(p.encode()).digest()[:16] for p in prompts]
            pl.DataFrame({"key": keys, "text": [p[10:200] for p in prompts]}).write_parquet(folder / "floor.parquet")
        else:
            known = dict(pl.read_parquet(folder / "floor.parquet").iter_rows())
            found = [known[hashlib.sha256(p.encode()).digest()[:16]] for p in prompts]
            assert rows.with_columns(summary=pl.Series(found)).height == n
    return {"cpu_s": time.process_time() - began}


def opened(folder: Path, n: int) -> dict[str, Any]:
    """Seconds to open a session of n answers and find one of them; the first time makes it."""
    import dreamframe as dr

    path = folder / "million"
    if not path.exists():
        with dr.Session(path) as session:
            for i in range(n):
                session.stores.answers.append(hashlib.sha256(str(i).encode()).digest()[:16], f"answer {i}", None, "stop", 9, 9, 0, 0, "m", None)
                if i % 50_000 == 0:
                    session.stores.answers.flush()
        return {}
    began, cpu = time.perf_counter(), time.process_time()
    with dr.Session(path) as session:
        found = session.stores.answers.lookup([hashlib.sha256(b"7").digest()[:16]])
        took = {"wall_s": time.perf_counter() - began, "cpu_s": time.process_time() - cpu}
    assert found["text"].to_list() == ["answer 7"]
    return took


def process(kind: str, url: str, folder: Path, n: int) -> dict[str, Any]:
    """A whole process: `polars` and `dreamframe` only import; `run` asks n rows, or finds them, and writes Parquet."""
    import polars as pl

    began = time.process_time()
    if kind != "polars":
        import dreamframe as dr

    imported = time.process_time()
    if kind == "run":
        df = dr.frame({"i": range(n)}).prompt(dr.OpenAI("m", base_url=url), PROMPT.replace("{floor}", "3"), into="summary")
        with dr.Session(folder / "session", progress=False):
            df.write_parquet(folder / "out.parquet")
        assert pl.scan_parquet(folder / "out.parquet").select(pl.len()).collect().item() == n
    return {"import_s": imported - began}


def processes(n: int = PROCESS_ROWS, rounds: int = ROUNDS) -> dict[str, Any]:
    """Medians of rounds: polars alone, importing, and a warm re-run whose server is gone."""
    with tempfile.TemporaryDirectory() as folder:
        with server("--answer", "fox") as running:
            measure("resume", "--measured", f"run {running.url}", folder, n, "cold")
        kinds = ("polars", "dreamframe", "run")
        each = [{kind: measure("resume", "--measured", f"{kind} {running.url}", folder, n, "warm") for kind in kinds} for _ in range(rounds)]
    polars_s = statistics.median(one["polars"]["process_cpu_s"] for one in each)
    return {
        "polars_s": polars_s,
        "import_s": statistics.median(one["dreamframe"]["import_s"] for one in each),
        "import_over_polars": statistics.median(one["dreamframe"]["import_s"] / one["polars"]["process_cpu_s"] for one in each),
        "warm_s": statistics.median(one["run"]["process_cpu_s"] for one in each),
        "warm_over_polars": statistics.median(one["run"]["process_cpu_s"] / one["polars"]["process_cpu_s"] for one in each),
    }


def million(folder: Path) -> dict[str, Any]:
    """CPU seconds of re-runs of 1,000,000 rows."""
    measure("resume", "--measured", "ours", folder, MILLION, "cold", timeout_s=1800)
    return {kind: measure("resume", "--measured", "ours", folder, MILLION, kind)["cpu_s"] for kind in MOST_MILLION_S}


def measured(who: str, folder: Path, n: int, kind: str) -> dict[str, Any]:
    """One run in this process."""
    if who == "open":
        return opened(folder, n)
    if " " in who:
        return process(*who.split(" "), folder, n)
    return {"ours": ours, "floor": floor}[who](folder, n, kind)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--measured", nargs=4, metavar=("WHO", "FOLDER", "ROWS", "KIND"), help="one run in this process (used by the benchmark itself)")
    options.add_argument("--process", action="store_true", help="measure whole processes: importing, and a warm re-run")
    options.add_argument("--million", action="store_true", help="measure re-runs of 1,000,000 rows, too")
    given = options.parse_args()
    if given.measured:
        who, folder, n, kind = given.measured
        print(json.dumps(measured(who, Path(folder), int(n), kind)))
        return
    if given.process:
        made = processes()
        figures = [
            Figure("import beyond polars, CPU", made["import_s"], "s", most=MOST_IMPORT_S),
            Figure(f"warm re-run of {PROCESS_ROWS:,} rows, a whole process, CPU", made["warm_s"], "s", most=MOST_PROCESS_S),
        ]
        sys.exit(not report("resume", figures, **made))
    found: dict[str, Any] = {}
    for n in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            runs = [(kind, who) for kind in ("cold", "whole", "rows") for who in ("ours", "floor")]
            found[f"{n} rows"] = {f"{kind}, {who}": measure("resume", "--measured", who, folder, n, kind)["cpu_s"] for kind, who in runs}
    with tempfile.TemporaryDirectory() as folder:
        measure("resume", "--measured", "open", folder, 1_000_000, "make")
        found["open 1,000,000 answers"] = measure("resume", "--measured", "open", folder, 1_000_000, "open")
    large = found[f"{SIZES[1]} rows"]
    warm = f"warm re-run of {SIZES[1]:,} rows, CPU"
    figures = [
        Figure(f"{warm}, whole step", large["whole, ours"], "s", most=MOST_WHOLE_S),
        Figure(f"{warm}, row by row", large["rows, ours"], "s", most=MOST_ROWS_S),
        Figure("opening 1,000,000 answers, CPU", found["open 1,000,000 answers"]["cpu_s"], "s", most=MOST_OPEN_S),
    ]
    found |= {f"{kind} over floor": large[f"{kind}, ours"] / max(large[f"{kind}, floor"], 0.01) for kind in ("whole", "rows")}
    if given.million:
        with tempfile.TemporaryDirectory() as folder:
            found["1,000,000 rows"] = million(Path(folder))
        for kind, (called, most) in MOST_MILLION_S.items():
            figures.append(Figure(f"warm re-run of {MILLION:,} rows, CPU, {called}", found["1,000,000 rows"][kind], "s", most=most))
    sys.exit(not report("resume", figures, **found))


if __name__ == "__main__":
    main()
