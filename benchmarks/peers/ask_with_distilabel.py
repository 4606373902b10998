"""n prompts through distilabel, with its cache, to Parquet: `python ask_with_distilabel.py URL N FOLDER IN_FLIGHT`. Runs in distilabel's own environment."""

import os
import sys
from pathlib import Path

url, n, folder, in_flight = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
os.environ.update({"OPENAI_API_KEY": "none", "HF_HUB_OFFLINE": "1", "DISTILABEL_LOG_LEVEL": "ERROR"})

from distilabel.models import OpenAILLM  # noqa: E402  the environment decides what it imports
from distilabel.pipeline import Pipeline  # noqa: E402
from distilabel.steps import LoadDataFromDicts  # noqa: E402
from distilabel.steps.tasks import TextGeneration  # noqa: E402

PROMPT = "Give one word for row {i}, which says: the quick brown fox jumps over the lazy dog, again and again, until somebody counts."

if __name__ == "__main__":
    with Pipeline("bench", cache_dir=folder / "cache") as pipeline:
        rows = LoadDataFromDicts(data=[{"instruction": PROMPT.format(i=i)} for i in range(n)], batch_size=in_flight)
        rows >> TextGeneration(llm=OpenAILLM(model="gpt-4o-mini", base_url=url, api_key="none"), input_batch_size=in_flight)
    made = pipeline.run(use_cache=True)["default"]["train"]
    made.select_columns(["instruction", "generation"]).to_parquet(folder / "out.parquet")
    assert len(made) == n
