"""Deep plans: how long a chain of steps takes to build, key, optimise and explain; and trivial polars steps beside the same chain in plain polars.

    python -m benchmarks.deep_plans [steps]

Prints JSON: medians over rounds, in CPU seconds; `ratio` is collect of a plan that was built over build and collect in plain polars. Under
`shapes`: the sum of building, keying, optimising and explaining each shape at so many steps, its parts, and how many times that ten times the steps take.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import polars as pl

import dreamframe as dr
from benchmarks.figures import Figure, report

ROUNDS = 5
MOST_OVER_POLARS, MOST_AT_10X = 5, 15  # times
ROWS = {"x": [1, 2]}
VERBS: dict[str, Callable[[Any], Any]] = {
    "with_columns": lambda frame: frame.with_columns(x=pl.col("x") + 1),
    "filter": lambda frame: frame.filter(pl.col("x") > 0),
}


def _asked(df: dr.Frame, prompt: str = "{x}", into: str = "said") -> dr.Frame:
    return df.prompt(dr.testing.Echo(), prompt, into=into)


def _branch(df: dr.Frame, i: int) -> dr.Frame:
    return df.with_columns(pl.when(pl.col("x") > 1).then(dr.prompt(dr.testing.Echo(), f"{i} {{x}}")).alias(f"y{i}"))


def _mixed(df: dr.Frame, i: int) -> dr.Frame:
    return _asked(df, into="more").filter(pl.col("x") > -i).with_columns(y=pl.col("x") + 1).drop("more", "y")


# Whether a prompt stands below, what is put on top each time, and how many steps that is.
SHAPES: dict[str, tuple[bool, Callable[[dr.Frame, int], dr.Frame], int]] = {
    "filters": (True, lambda df, i: df.filter(pl.col("x") > -i), 1),
    "filters of models": (False, lambda df, i: df.filter(dr.prompt(dr.testing.Echo(), f"{i} {{x}}") != ""), 3),
    "with_columns": (True, lambda df, _: df.with_columns(x=pl.col("x") + 1), 1),
    "new columns": (False, lambda df, i: df.with_columns((pl.col("x") + 1).alias(f"y{i}")), 1),
    "prompts": (False, lambda df, i: _asked(df, into=f"said {i}"), 1),
    "branches": (False, _branch, 3),
    "mixed": (False, _mixed, 4),
    "filters of prompts": (False, lambda df, i: _asked(df, into=f"said {i}").filter(pl.col("x") > -i), 2),
    "heads": (True, lambda df, i: df.head(100 + i), 1),
    "joins": (True, lambda df, _: df.join(dr.frame({"x": [1], "z": [2]}), on="x", how="semi"), 2),
}
WIDE = ("new columns", "prompts", "filters of prompts", "branches")  # n columns of n steps are n² names: ten times as long takes up to a hundred times as long


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """CPU seconds of this process, which a busy machine leaves alone, and what the work gave."""
    began = time.process_time()
    made = work()
    return time.process_time() - began, made


def chain(frame: Any, verb: str, n: int) -> Any:
    """n steps of a verb over a frame."""
    for _ in range(n):
        frame = VERBS[verb](frame)
    return frame


def linked(shape: str, n: int) -> dr.Frame:
    """About n steps of a shape."""
    is_over_prompt, link, n_each = SHAPES[shape]
    df = _asked(dr.frame(ROWS)) if is_over_prompt else dr.frame(ROWS)
    for i in range(n // n_each):
        df = link(df, i)
    return df


def looked_at(shape: str, n: int) -> dict[str, float]:
    """Seconds to build, key, and explain a shape, which optimises it; and their sum."""
    build, df = timed(lambda: linked(shape, n))
    with dr.Session(None, progress=False):
        key, _ = timed(lambda: df.step.key({}))
        explain, _ = timed(df.explain)
    return {"build": build, "key": key, "explain": explain, "sum": build + key + explain}


def measure(verb: str, n: int, rounds: int = ROUNDS) -> dict[str, float]:
    """Seconds of each part, the median of several rounds; both sides in every round, so that a busy machine slows both."""
    rows = pl.DataFrame(ROWS)
    found: list[dict[str, float]] = []
    with dr.Session(None, progress=False):
        dr.frame(rows).collect()  # the loop's thread is there
        for _ in range(rounds):
            plain, expected = timed(lambda: chain(rows.lazy(), verb, n).collect())
            build, df = timed(lambda: chain(dr.frame(rows), verb, n))
            explain, _ = timed(df.explain)
            collect, made = timed(df.collect)
            assert made.equals(expected)
            found.append({"plain": plain, "build": build, "explain": explain, "collect": collect, "ratio": collect / plain})
    return {name: round(median(f[name] for f in found), 4) for name in found[0]}


def measure_shape(shape: str, n: int, rounds: int = 3) -> dict[str, float]:
    """The median of several rounds at n steps; and, for what is not wide, how many times its sum ten times as many take."""
    found = [looked_at(shape, n) for _ in range(rounds)]
    made = {name: median(f[name] for f in found) for name in found[0]}
    if shape not in WIDE:
        made["times_at_10x"] = looked_at(shape, 10 * n)["sum"] / made["sum"]
    return {name: round(value, 3) for name, value in made.items()}


def main() -> None:
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000
    verbs = {verb: measure(verb, n) for verb in VERBS}
    shapes = {shape: measure_shape(shape, n) for shape in SHAPES}
    figures = [
        Figure(f"{n:,} {verb} collected, CPU", made["collect"], "s", made["plain"], "polars", most=MOST_OVER_POLARS, median_ratio=made["ratio"])
        for verb, made in verbs.items()
    ]
    figures += [Figure(f"{n:,} steps planned, {shape}, CPU", made["sum"], "s", most=n / 1_000) for shape, made in shapes.items()]
    figures += [
        Figure(f"{10 * n:,} steps planned over {n:,}, {shape}", made["times_at_10x"], "times", most=MOST_AT_10X)
        for shape, made in shapes.items()
        if "times_at_10x" in made
    ]
    sys.exit(not report("deep_plans", figures, steps=n, polars=pl.__version__, verbs=verbs, shapes=shapes))


if __name__ == "__main__":
    main()
