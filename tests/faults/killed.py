"""The program that is killed: two columns of rows through a server, into a session. `python -m tests.faults.killed <url> <folder> <rows>`."""

import sys
from pathlib import Path

import dreamframe as dr


def main() -> None:
    url, folder, n = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    llm = dr.OpenAI("m", base_url=url, concurrency=256)
    df = dr.frame({"i": range(n)}).prompt(llm, "Say {i}", into="said").prompt(llm, "Again: {said}", into="again")
    with dr.Session(folder / "session", progress=False):
        df.write_parquet(folder / "out.parquet")


if __name__ == "__main__":
    main()
