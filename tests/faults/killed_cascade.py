"""The program that is killed in a cascade: `python -m tests.faults.killed_cascade <folder> <rows>`. Every call of the strong model is a line of a file."""

import os
import sys
from pathlib import Path

import dreamframe as dr


def main() -> None:
    folder, n = Path(sys.argv[1]), int(sys.argv[2])
    log = os.open(folder / "calls", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def strong(asked: str) -> str:
        os.write(log, f"{asked}\n".encode())
        return "yes" if int(asked) * 7 % 10 < 7 and int(asked) > n / 3 else "no"

    def small(asked: str) -> dict[bool, float]:
        return {True: 0.05 + 0.65 * (int(asked) > n / 3), False: 0.95 - 0.65 * (int(asked) > n / 3)}

    models = (dr.testing.Scripted(script, model=script.__name__, latency_s=0.02, concurrency=8) for script in (strong, small))
    asked, proxy = models
    with dr.Session(folder / "session", progress=False):
        made = dr.frame({"i": range(n)}).filter_by(asked, "{i}", cascade=dr.Cascade(proxy, accuracy=0.8))
        made.write_parquet(folder / "out.parquet")


if __name__ == "__main__":
    main()
