"""SemBench's ten queries over film reviews: calls and tokens, beside those that four other systems have published, and quality beside the labels.

    python -m benchmarks.sembench [--data FOLDER] [--rows N] [--model oracle|smollm2]

FOLDER holds the benchmark's Reviews.csv and Movies.csv (https://github.com/SemBench/SemBench, files/movie/data/sf_2000); without it, reviews of the same
shape are made. The oracle answers by the labels, so that calls and tokens are the measure; smollm2 is the embedded model of 135 M parameters, over a
reduced set. Prints a table, then JSON; ends with 1 where the oracle's rows are not right or more was asked than is allowed.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import dreamframe as dr
from benchmarks.figures import Figure, report
from benchmarks.movie_queries import QUERIES
from benchmarks.movie_set import ROWS, MovieSet, made, oracle, read

# Tokens, in and out, of Q1 to Q10 with gemini-2.5-flash, as published in SemBench's files/movie/metrics/across_system_2.5flash; None: it failed.
PEERS: dict[str, tuple[int | None, ...]] = {
    "LOTUS": (245_648, 14_203, 13_843, 13_963, 5_923_542, 5_249_098, 5_252_012, 12_523, 57_294, 419_648),
    "Palimpzest": (3_585, 20_681, 27_994, 46_834, 37_440, 37_340, 24_287_232, 45_754, 131_788, 999_992),
    "BigQuery": (94_127, 5_852, 6_034, 6_034, 2_622_853, 2_602_203, 8_475_472, 6_034, 49_274, 358_204),
    "ThalamusDB": (1_245, 4_451, 6_716, 6_716, 2_483, 1_366, 347_910, 13_432, None, None),
}
TOGETHER = ("Q2", "Q3", "Q4")  # one session, as one analyst's: the second and the third ask what the first has not
FEW = 160  # reviews that the embedded model reads


@contextmanager
def model(name: str, data: MovieSet) -> Iterator[Any]:
    """What is asked."""
    if name == "smollm2":
        yield dr.SmolLM2(temperature=0, max_tokens=24)
        return
    with oracle(data) as server:
        yield dr.OpenAI("oracle", base_url=server.url, api_key="none", temperature=0, concurrency=20)


def measured(data: MovieSet, name: str) -> list[dict[str, Any]]:
    """What each query asked and gave."""
    found: list[dict[str, Any]] = []
    with model(name, data) as llm, ExitStack() as open_sessions:
        shared = open_sessions.enter_context(dr.Session(None, progress=False))
        for q, query in QUERIES.items():
            with shared if q in TOGETHER else dr.Session(None, progress=False) as session:
                df = query.plan(dr.frame(data.reviews), llm)
                before, began = session.usage(), time.perf_counter()
                rows = df.collect()
                took_s, used = time.perf_counter() - began, session.usage()
            tokens = used["tokens_in"] + used["tokens_out"] - before["tokens_in"] - before["tokens_out"]
            made_of = {"query": q, "asks": query.asks, "calls": used["calls"] - before["calls"], "at_most": query.at_most(data)}
            quality = round(query.quality(rows, data), 3)
            found.append({**made_of, "tokens": tokens, "rows": rows.height, "quality": quality, "right": query.right(rows, data), "s": round(took_s, 2)})
    return found


def table(found: list[dict[str, Any]]) -> str:
    """The figures, with those of the others beside them."""
    head = f"{'':4}{'asks':36}{'calls':>7}{'at most':>9}{'tokens':>9}{'quality':>9}{'right':>7}  " + "".join(f"{peer:>13}" for peer in PEERS)
    lines = [f"{'':83}{'tokens as published, of 2,000 reviews':>50}", head]
    for i, row in enumerate(found):
        peers = "".join(f"{'failed' if tokens[i] is None else format(tokens[i], ','):>13}" for tokens in PEERS.values())
        right = "yes" if row["right"] else "no"
        ours = f"{row['calls']:>7,}{row['at_most']:>9,}{row['tokens']:>9,}{row['quality']:>9.3f}{right:>7}"
        lines.append(f"{row['query']:4}{row['asks']:36}{ours}  {peers}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--rows", type=int)
    parser.add_argument("--model", choices=("oracle", "smollm2"), default="oracle")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    rows = given.rows or (FEW if given.model == "smollm2" else ROWS)
    data = made(rows, seed=given.seed) if given.data is None else read(given.data).smaller(rows)
    found = measured(data, given.model)
    print(table(found))
    source = "made" if given.data is None else "SemBench"
    figures = [Figure(f"SemBench {row['query']}, {source} reviews", row["calls"], "calls", most=row["at_most"]) for row in found]
    if given.model == "oracle":  # a small model is wrong at times, and is not held to it
        figures.append(Figure("SemBench, queries answered right", sum(row["right"] for row in found), f"of {len(found)}", least=len(found)))
    sys.exit(not report("sembench", figures, data=source, reviews=data.reviews.height, model=given.model, queries=found))


if __name__ == "__main__":
    main()
