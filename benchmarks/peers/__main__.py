"""dreamframe beside other libraries on one work, at one server, in turns: CPU a row, a warm re-run, and what is asked again after kill -9.

    python -m benchmarks.peers --build FOLDER     makes an environment for each library, with pip
    python -m benchmarks.peers --envs FOLDER      measures those that are there

Each program makes one call a row, keeps its answers in its own way and writes Parquet. CPU a row is the slope between two numbers of rows, so that
imports cancel out; a warm re-run is a whole process that finds all answers; both count the CPU of the processes that a library starts. The last: a run is
killed when the server has begun half of its calls, and run again; the figure is how many calls that the server had answered were made again.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure, report
from benchmarks.servers import ROOT, server

# What follows the first of each is imported by it and not asked for.
PINS = {
    "curator": ("bespokelabs-curator==0.1.31",),
    "fenic": ("fenic==0.13.0", "httpx", "tqdm"),
    "data_designer": ("data-designer==0.9.6",),
    "distilabel": ("distilabel[openai]==1.5.3", "httpx", "requests"),
}
OURS = "dreamframe"
SMALL, LARGE, KILLED = 1_000, 3_000, 2_000  # rows
KILLED_LATENCY_S = 0.05
MOST_CPU, MOST_WARM, MOST_LOST = 1 / 20, 1 / 5, 1
HERE = Path(__file__).parent


def build(folder: Path) -> None:
    """An environment a library; one that does not install is left out, with pip's last line."""
    for name, wanted in PINS.items():
        subprocess.run([sys.executable, "-m", "venv", str(folder / name)], check=True)
        pip = [str(folder / name / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *wanted]
        done = subprocess.run(pip, capture_output=True, text=True, check=False)
        print(f"{name}: {'installed' if done.returncode == 0 else done.stderr.strip().splitlines()[-1]}")


def command(name: str, envs: Path, url: str, n: int, folder: Path) -> list[str]:
    python = sys.executable if name == OURS else str(envs / name / "bin" / "python")
    return [python, str(HERE / f"ask_with_{name}.py"), url, str(n), str(folder)]


def environment(name: str, envs: Path) -> dict[str, str]:
    """Without a network, tokenizers of OpenAI's models come from the files that litellm brings."""
    tables = [str(path) for path in envs.glob("*/lib/python3*/site-packages/litellm/litellm_core_utils/tokenizers")]
    path = {"PYTHONPATH": str(ROOT)} if name == OURS else {}
    return {**{k: v for k, v in os.environ.items() if k != "PYTHONPATH"}, **path, **({"TIKTOKEN_CACHE_DIR": tables[0]} if tables else {})}


def counters(url: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"{url}/counters") as reply:
        found: dict[str, Any] = json.load(reply)
    return found


def cpu_s(name: str, envs: Path, url: str, n: int, folder: Path) -> float:
    """CPU seconds of one whole program, with the processes that it starts and waits for."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    asked = command(name, envs, url, n, folder)
    done = subprocess.run(asked, env=environment(name, envs), cwd=folder, capture_output=True, text=True, timeout=900, check=False)
    if done.returncode:
        raise RuntimeError(f"{name} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def one_round(name: str, envs: Path, url: str) -> dict[str, float]:
    """CPU a row in ms and the CPU of a warm re-run in s."""
    with tempfile.TemporaryDirectory() as small, tempfile.TemporaryDirectory() as large:
        few, many = cpu_s(name, envs, url, SMALL, Path(small)), cpu_s(name, envs, url, LARGE, Path(large))
        asked = counters(url)["posts"]
        warm = cpu_s(name, envs, url, LARGE, Path(large))
        return {"ms_per_row": 1_000 * (many - few) / (LARGE - SMALL), "warm_s": warm, "warm_calls": counters(url)["posts"] - asked}


def killed(name: str, envs: Path, patience_s: float = 300) -> dict[str, float | None]:
    """How many answered calls a killed run made again, and how many that were under way; None where the second run did not end."""
    with server("--answer", "fox", "--latency", str(KILLED_LATENCY_S)) as running, tempfile.TemporaryDirectory() as folder:
        asked = command(name, envs, running.url, KILLED, Path(folder))
        first = subprocess.Popen(asked, env=environment(name, envs), cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        at_kill = counters(running.url)
        while at_kill["posts"] < KILLED // 2 and first.poll() is None:
            time.sleep(0.001)
            at_kill = counters(running.url)
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()
        time.sleep(1)  # what was under way is over
        try:
            subprocess.run(asked, env=environment(name, envs), cwd=folder, capture_output=True, timeout=patience_s, check=True)
        except (subprocess.TimeoutExpired, subprocess.CalledProcessError):
            return {"again": None, "under_way": None, "answered_again": None}
        again = counters(running.url)["posts"] - KILLED
        under_way = at_kill["in_flight"] - 1  # but for the question itself
        return {"again": again, "under_way": under_way, "answered_again": max(again - under_way, 0)}


def figures(found: dict[str, list[dict[str, float]]], lost: dict[str, list[dict[str, float | None]]]) -> list[Figure]:
    """dreamframe beside each of the others."""

    def middle(name: str, what: str) -> float:
        return statistics.median(each[what] for each in found[name])

    def again(name: str) -> float | None:
        counts = [each["answered_again"] for each in lost[name]]
        return statistics.median(n for n in counts if n is not None) if all(n is not None for n in counts) else None

    made = []
    for name, theirs_each in found.items():
        if name == OURS:
            continue
        pairs = list(zip(found[OURS], theirs_each, strict=True))
        what = {"ms_per_row": ("CPU a row", "ms", MOST_CPU), "warm_s": (f"warm re-run of {LARGE:,} rows, CPU", "s", MOST_WARM)}
        for key, (said, unit, most) in what.items():
            ratio = statistics.median(mine[key] / theirs[key] for mine, theirs in pairs)
            made.append(Figure(said, middle(OURS, key), unit, middle(name, key), said_version(name), most=most, median_ratio=ratio))
        mine, theirs = again(OURS), again(name)
        if mine is not None and theirs is not None:
            made.append(Figure("answered calls made again after kill -9", mine, "calls", theirs, said_version(name), most=MOST_LOST))
    return made


def said_version(name: str) -> str:
    return PINS[name][0].replace("==", " ")


def main(arguments: Sequence[str] | None = None) -> None:
    options = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--build", type=Path, metavar="FOLDER")
    options.add_argument("--envs", type=Path, metavar="FOLDER")
    options.add_argument("--only", nargs="+", choices=list(PINS), default=list(PINS))
    options.add_argument("--rounds", type=int, default=11)
    options.add_argument("--kills", type=int, default=3)
    given = options.parse_args(arguments)
    if given.build:
        build(given.build)
        return
    if not given.envs:
        options.error("--build FOLDER, or --envs FOLDER, is needed")
    envs = given.envs.resolve()
    names = [OURS, *(name for name in given.only if (envs / name / "bin" / "python").exists())]
    with server("--answer", "fox") as running:
        rounds = [{name: one_round(name, envs, running.url) for name in names} for _ in range(given.rounds)]
    found = {name: [each[name] for each in rounds] for name in names}
    lost = {name: [killed(name, envs) for _ in range(given.kills)] for name in names}
    sys.exit(not report("peers", figures(found, lost), rounds=found, killed=lost))


if __name__ == "__main__":
    main()
