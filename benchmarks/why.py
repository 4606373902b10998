"""What it costs to tell how one row among many was made: the first `df.why(row)` of a process, for plans of many shapes.

`python -m benchmarks.why [--rows N] [--only SHAPE ...]` builds a session of 1,000,000 answered rows and, one after the other, the outputs of each shape
over it, each in a folder of its own (some 3 minutes and 0.5 GB). It prints JSON: per shape the CPU and wall seconds of the first call, `import dreamframe`
not counted and all other imports counted, the CPU seconds in which polars alone is imported and reads the kept rows, and their ratio. The limits are those
of the CPU seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure, report
from benchmarks.servers import measure

ROWS, MOST_S = 1_000_000, 0.5
WORDS = ("tea", "jam", "rye", "tea", "oat", "tea", "fig", "jam")
Shape = Callable[[Any, Any], Any]  # (model, frame of answered rows) → frame


def _model() -> Any:
    from dreamframe.testing import Scripted

    llm = Scripted(lambda prompt: f"<1> of {prompt[-60:]}", model="bench")
    llm.log.keep = False
    return llm


def _rows(n: int) -> Any:
    import polars as pl

    import dreamframe as dr

    i = pl.int_range(n, eager=True).alias("i")
    words = dict(enumerate(WORDS))
    text = pl.concat_str(pl.col("i").mod(8).replace_strict(words, return_dtype=pl.String), pl.lit(" "), "i")
    key = pl.col("i").mod(8).replace_strict(dict(enumerate("abaabacb")), return_dtype=pl.String)
    return dr.frame(i.to_frame().select(t=text, k=key, n=pl.col("i").mod(9) + 1))


def shapes(n: int) -> dict[str, Shape]:
    """What is made of the answered rows."""
    import polars as pl

    import dreamframe as dr

    names = dr.frame({"k": ["a", "b", "d"], "name": ["Ann", "Bob", "Dan"]})
    words = pl.col("said").str.split(" of ").alias("word")
    return {
        "every row": lambda _, said: said,
        "filter and sort": lambda _, said: said.filter(pl.col("n") > 1).sort("n"),
        "sort by an answer": lambda _, said: said.sort("said", descending=True),
        "join": lambda llm, said: said.join(names.prompt(llm, "Who is {name}?", into="who"), on="k"),
        "groups": lambda llm, said: said.group_by("k").agg(pl.col("said").first(), pl.len()).prompt(llm, "All: {said} {len}", into="all"),
        "dedup": lambda llm, said: said.dedup("k").prompt(llm, "Once {said}", into="once"),
        "unique": lambda _, said: said.unique("t"),
        "filter on an answer": lambda llm, said: said.filter(pl.col("said").str.contains("rye")).prompt(llm, "Short {said}", into="short"),
        "filter on an answer that is dropped": lambda llm, said: said.filter(pl.col("said").str.contains("fig")).prompt(llm, "{said}", into="x").select("x"),
        "explode of an answer": lambda llm, said: said.filter(pl.col("n") == 1).with_columns(words).explode("word").prompt(llm, "{t} {word}"),
        "first that pass": lambda _, said: said.filter(~pl.col("said").str.contains("rye")).head(3),
        "rows below one another": lambda llm, said: dr.concat([said, said.tail(3).select("t", "k", "n").prompt(llm, "Again {t}", into="said")]),
        "unpivot": lambda _, said: said.with_columns(other=pl.col("said").str.to_uppercase()).unpivot(["said", "other"], index="n"),
        "unnest": lambda _, said: said.with_columns(s=pl.struct(a="said", b="n")).unnest("s"),
        "numbered and cut": lambda _, said: said.with_row_index("i").slice(n // 10, n // 2),
        "sample": lambda _, said: said.sample(n=n // 10, seed=3),
        "function": lambda _, said: said.map(lambda row: {"m": row["n"] * 2}, schema={"m": pl.Int64}),
        "by a condition": lambda _, said: said.with_columns(is_asked=pl.lit(value=True)),
    }


def plan(n: int, shape: str | None) -> Any:
    llm = _model()
    said = _rows(n).prompt(llm, "Sum up {t}", into="said")
    return said if shape is None else shapes(n)[shape](llm, said)


def build(folder: Path, n: int, shape: str | None) -> dict[str, Any]:
    """Make the rows of a shape."""
    import dreamframe as dr

    with dr.Session(folder, progress=False):
        return {"rows": plan(n, shape).collect().height}


def told(folder: Path, n: int, shape: str, row: int) -> dict[str, Any]:
    """Seconds of the first story in this process."""
    import polars as pl

    import dreamframe as dr

    frame = plan(n, shape)
    which = pl.col("t") == f"{WORDS[row % 8]} {row}" if shape == "by a condition" else row
    with dr.Session(folder, progress=False):
        began, cpu = time.perf_counter(), time.process_time()
        story = frame.why(which)
        took = {"cpu_s": time.process_time() - cpu, "wall_s": time.perf_counter() - began}
    assert story.calls, story
    assert all(call.is_kept for call in story.calls), story
    return took


def scanned(folder: Path) -> dict[str, Any]:
    """CPU seconds to import polars and read the kept rows."""
    began = time.process_time()
    import polars as pl

    for path in folder.glob("steps/*/data.arrow"):
        pl.read_ipc_stream(path)
    return {"cpu_s": time.process_time() - began}


def measured(who: str, folder: Path, n: int, shape: str, row: int) -> dict[str, Any]:
    """One thing in this process."""
    if who == "build":
        return build(folder, n, shape or None)
    return scanned(folder) if who == "scan" else told(folder, n, shape, row)


def one(base: Path, n: int, shape: str) -> dict[str, Any]:
    """What one shape takes, over the answers of a folder."""
    with tempfile.TemporaryDirectory(dir=base.parent) as held:
        folder = Path(held) / "session"
        shutil.copytree(base, folder, copy_function=os.link, ignore=shutil.ignore_patterns("steps"))
        height = measure("why", "--measured", "build", folder, n, shape, 0)["rows"]
        found = measure("why", "--measured", "why", folder, n, shape, height // 2)
        floor_s = measure("why", "--measured", "scan", folder, n, shape, 0)["cpu_s"]
    return {**found, "rows": height, "polars_s": floor_s, "ratio": found["cpu_s"] / floor_s}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rows", type=int, default=ROWS)
    options.add_argument("--only", nargs="+", metavar="SHAPE", help="some of the shapes")
    options.add_argument("--measured", nargs=5, help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.measured:
        who, folder, n, shape, row = given.measured
        print(json.dumps(measured(who, Path(folder), int(n), shape, int(row))))
        return
    found: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as held:
        base = Path(held) / "base"
        measure("why", "--measured", "build", base, given.rows, "", 0)
        for shape in given.only or shapes(given.rows):
            found[shape] = one(base, given.rows, shape)
            print(f"{shape}: {found[shape]}", file=sys.stderr, flush=True)
    figures = [Figure(f"why of a row among {given.rows:,}, first call, CPU: {shape}", took["cpu_s"], "s", most=MOST_S) for shape, took in found.items()]
    sys.exit(not report("why", figures, shapes=found))


if __name__ == "__main__":
    main()
