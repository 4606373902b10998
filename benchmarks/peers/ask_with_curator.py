"""n prompts through curator, with its cache, to Parquet: `python ask_with_curator.py URL N FOLDER IN_FLIGHT`. Runs in curator's own environment."""

import os
import sys
from pathlib import Path

url, n, folder, in_flight = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
quiet = {"TELEMETRY_ENABLED": "false", "CURATOR_VIEWER": "0", "CURATOR_DISABLE_RICH_DISPLAY": "1", "HF_HUB_OFFLINE": "1"}
os.environ.update({"CURATOR_CACHE_DIR": str(folder / "cache"), "OPENAI_API_KEY": "none", **quiet})

from bespokelabs import curator  # noqa: E402  the environment decides what it imports

PROMPT = "Give one word for row {i}, which says: the quick brown fox jumps over the lazy dog, again and again, until somebody counts."


class Word(curator.LLM):
    def prompt(self, row):
        return PROMPT.format(**row)

    def parse(self, row, response):
        return [{**row, "answer": response}]


limits = {"max_requests_per_minute": 10_000_000, "max_tokens_per_minute": 10_000_000_000, "max_concurrent_requests": in_flight}
made = Word(model_name="gpt-4o-mini", backend="openai", backend_params={"base_url": url, **limits})([{"i": i} for i in range(n)])
rows = getattr(made, "dataset", made)
rows.to_parquet(folder / "out.parquet")
assert len(rows) == n
