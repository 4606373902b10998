"""Two runs of a plan in a session folder, the second on a disk that is full. Prints a JSON object with what came of it.

python -m tests.faults.full_disk FOLDER
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from pathlib import Path
from typing import Any

import dreamframe as dr


def fill(folder: Path) -> None:
    """Leave not one byte."""
    for size in (1 << 16, 1 << 12, 1):
        with open(folder / f"ballast{size}", "wb", buffering=0) as ballast:
            try:
                while True:
                    ballast.write(os.urandom(size))
            except OSError:
                continue


def outcome(plan: dr.Frame, llm: dr.testing.Echo, folder: Path, **settings: Any) -> dict[str, Any]:
    before, rows, error = llm.calls, None, ""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        try:
            with dr.Session(folder, progress=False, **settings):
                rows = plan.collect().height
        except Exception as exc:  # noqa: BLE001  told
            error = f"{type(exc).__name__}: {exc}"
    return {"rows": rows, "error": error, "calls": llm.calls - before, "warnings": [str(w.message) for w in seen]}


def main(folder: Path) -> None:
    llm = dr.testing.Echo(latency_s=0.001, concurrency=4)
    rows = dr.frame({"x": list(range(400))})
    kept = rows.head(200).prompt(llm, "{x}", into="y")
    told = {"first": outcome(kept, llm, folder / "s")}
    fill(folder)
    told["again"] = outcome(kept, llm, folder / "s")
    told["offline"] = outcome(kept, llm, folder / "s", offline=True)
    told["another plan"] = outcome(kept.head(100), llm, folder / "s")
    told["more"] = outcome(rows.prompt(llm, "{x}", into="y"), llm, folder / "s")
    for ballast in folder.glob("ballast*"):
        ballast.unlink()
    told["room"] = outcome(rows.prompt(llm, "{x}", into="y"), llm, folder / "s")
    print(json.dumps(told))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
