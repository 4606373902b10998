"""Runs every example as a user does, twice: `python -m tests.examples`. The second run has to ask nothing and train nothing.

Notebooks run as the program of their cells; the one by API runs where OPENAI_API_KEY or OPENAI_BASE_URL is set. `make examples` calls this.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

EXAMPLES = Path(__file__).parents[1] / "examples"
BY_API = "distillation_by_api"


def program(notebook: Path) -> str:
    """The code of a notebook's cells, one after the other, and a last line that tells what the run asked."""
    cells = [cell for cell in json.loads(notebook.read_text("utf-8"))["cells"] if cell["cell_type"] == "code"]
    return "\n\n".join(["".join(cell["source"]) for cell in cells] + ['print(f"this run: {session.summary()}")']) + "\n"


def run(example: Path, folder: Path) -> str:
    """What an example printed. Raises CalledProcessError, with its errors on the terminal, where it failed."""
    script = example
    if example.suffix == ".ipynb":
        script = folder / f"{example.stem}.py"
        script.write_text(program(example), "utf-8")
    return subprocess.run([sys.executable, str(script)], cwd=EXAMPLES, stdout=subprocess.PIPE, text=True, check=True).stdout


def main() -> None:
    """Run all of them, and say how long each took."""
    has_api = "OPENAI_API_KEY" in os.environ or "OPENAI_BASE_URL" in os.environ
    found = sorted(p for p in EXAMPLES.iterdir() if p.suffix in (".py", ".ipynb") and (has_api or p.stem != BY_API))
    with tempfile.TemporaryDirectory() as folder:
        for example in found:
            took = []
            for _ in range(2):
                began = time.monotonic()
                said = run(example, Path(folder))
                took.append(time.monotonic() - began)
            last = said.rstrip().splitlines()[-1]
            print(f"{example.name:28} {took[0]:6.1f} s, again {took[1]:5.1f} s · {last}", flush=True)
            if "0 model calls" not in last or "trained nothing" not in last:
                raise SystemExit(f"{example.name}: its second run asked or trained something")
    if not has_api:
        print(f"{BY_API}.py was left out: it needs OPENAI_API_KEY")


if __name__ == "__main__":
    main()
