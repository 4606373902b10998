"""All benchmarks as one table: `make bench`, or `python -m benchmarks.table [--only NAME ...] [--peers FOLDER] [--write]`.

Each benchmark runs in a process of its own, one after the other, and prints figures (see `figures`); a line of the table is what the least took (the
floor), what dreamframe took, their ratio, the limit, and whether it holds. `--peers` also runs other libraries on the same work (see `peers`), from the
environments that FOLDER holds. `--write` puts the table, the machine and the date into benchmarks/RESULTS.md. Ends with 1 where a figure does not hold.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.figures import Figure, reported
from benchmarks.servers import ROOT

COMMANDS: dict[str, tuple[str, ...]] = {
    "overhead": ("overhead",),
    "overhead over TLS": ("overhead", "--tls"),
    "overhead, many in flight": ("overhead", "--in-flight", "1024"),
    "pipeline": ("pipeline",),
    "api": ("api",),
    "warm processes": ("resume", "--process"),
    "warm rows": ("resume", "--million"),
    "memory": ("memory",),
    "deep plans": ("deep_plans",),
    "sembench": ("sembench",),
    "cascades": ("cascades",),
    "retrieve": ("retrieve",),
    "local": ("local",),
}
RESULTS = Path(__file__).with_name("RESULTS.md")
HEAD = ("what", "floor", "ours", "ratio", "limit", "holds")


def run(command: tuple[str, ...]) -> list[Figure]:
    """The figures of one benchmark. Raises RuntimeError where it printed none."""
    done = subprocess.run([sys.executable, "-m", f"benchmarks.{command[0]}", *command[1:]], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    try:
        return reported(done.stdout)
    except ValueError as exc:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode} and printed no figures") from exc


def number(value: float) -> str:
    """Three digits that count, and no more: 0.0417, 1.26, 12,345."""
    return f"{value:,.0f}" if value >= 1_000 or value == int(value) else f"{value:.3g}"


def line(figure: Figure) -> tuple[str, ...]:
    floor = "" if figure.floor is None else f"{number(figure.floor)} {figure.unit} ({figure.over})"
    ratio = "" if figure.ratio is None else f"{figure.ratio:.2f}x"
    sides = [f"{sign} {number(bound)}" for sign, bound in (("≤", figure.most), ("≥", figure.least)) if bound is not None]
    limit = f"{' '.join(sides)}{'x' if sides and figure.ratio is not None else ''}"
    return figure.name, floor, f"{number(figure.ours)} {figure.unit}", ratio, limit, ("yes" if figure.holds else "**no**") if sides else ""


def text(found: dict[str, list[Figure]]) -> str:
    """The table in markdown."""
    rows = [line(figure) for figures in found.values() for figure in figures]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (HEAD, ["---"] * len(HEAD), *rows))


def machine() -> str:
    """What it ran on, in words."""
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    names = [row.partition(":")[2].strip() for row in info.splitlines() if row.startswith("model name")]
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cpu = names[0] if names else platform.machine()
    return f"{os.cpu_count()} cores ({cpu}), {memory_gb:.0f} GiB of memory, {platform.system()} {platform.release()}, Python {platform.python_version()}"


def page(found: dict[str, list[Figure]], ended: float) -> str:
    """benchmarks/RESULTS.md."""
    return f"""# What dreamframe itself costs

Measured on {time.strftime("%Y-%m-%d", time.gmtime(ended))}: {machine()}.
Repeat it with `make bench`, and with `make bench ARGS="--write"` to write this page; `python -m benchmarks.NAME` runs one benchmark, and its file's first
lines say what it measures; `python -m benchmarks.gpu` is for a machine with a CUDA device. Ratios are those of programs that ran in turns in the same
minutes: they carry over to other machines, absolute times do not.

{text(found)}
"""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--only", nargs="+", choices=list(COMMANDS), default=list(COMMANDS), metavar="NAME", help=", ".join(COMMANDS))
    options.add_argument("--peers", type=Path, metavar="FOLDER", help="environments made by `python -m benchmarks.peers --build FOLDER`")
    options.add_argument("--write", action="store_true", help="write benchmarks/RESULTS.md")
    given = options.parse_args()
    commands = {name: COMMANDS[name] for name in given.only} | ({"peers": ("peers", "--envs", str(given.peers))} if given.peers else {})
    found: dict[str, list[Figure]] = {}
    for name, command in commands.items():
        print(f"{name} ...", file=sys.stderr, flush=True)
        found[name] = run(command)
        print(text({name: found[name]}), file=sys.stderr, flush=True)
    print(text(found))
    if given.write:
        RESULTS.write_text(page(found, time.time()), encoding="utf-8")
    sys.exit(not all(figure.holds for figures in found.values() for figure in figures))


if __name__ == "__main__":
    main()
