"""n prompts through dreamframe, with its session, to Parquet: `python ask_with_dreamframe.py URL N FOLDER IN_FLIGHT`."""

import sys
from pathlib import Path

import polars as pl

import dreamframe as dr

url, n, folder, in_flight = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
PROMPT = "Give one word for row {i}, which says: the quick brown fox jumps over the lazy dog, again and again, until somebody counts."

df = dr.frame({"i": range(n)}).prompt(dr.OpenAI("gpt-4o-mini", base_url=url, concurrency=in_flight), PROMPT, into="answer")
with dr.Session(folder / "session", progress=False):
    df.write_parquet(folder / "out.parquet")
assert pl.scan_parquet(folder / "out.parquet").select(pl.len()).collect().item() == n
