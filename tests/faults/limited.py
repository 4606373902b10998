"""A process that asks within limits which it shares: `python -m tests.faults.limited <url> <folder> <name> <rows> [<setting>=<number> …]`.

Says "ready", begins when it is told so, and prints a JSON object at its end. Each row is its own: nothing is found in the folder.
"""

from __future__ import annotations

import json
import sys
import time

import dreamframe as dr
from dreamframe.errors import BudgetExceededError

PRICES = {"m": (300.0, 300.0)}  # US dollars for a million tokens


def main(url: str, folder: str, name: str, n: str, *settings: str) -> None:
    given = {key: float(number) for key, _, number in (setting.partition("=") for setting in settings)}
    budget = given.pop("budget", None)
    concurrency = int(given.pop("concurrency", 32))
    llm = dr.OpenAI("m", base_url=url, api_key="k", concurrency=concurrency, **({"max_tokens": 50} if budget else {}), **given)  # type: ignore[arg-type]
    df = dr.frame({"t": [f"{name} {i}" for i in range(int(n))]}).prompt(llm, "{t}", into="said", on_error="null")
    with dr.Session(folder, progress=False, budget=budget, prices=PRICES) as session:
        print("ready", flush=True)
        sys.stdin.readline()
        began, error = time.monotonic(), ""
        try:
            df.collect()
        except BudgetExceededError as exc:
            error = str(exc)
        print(json.dumps({"calls": session.usage()["calls"], "cost": session.usage()["cost"], "s": time.monotonic() - began, "error": error}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
