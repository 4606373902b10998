"""n prompts through fenic, with its cache, to Parquet: `python ask_with_fenic.py URL N FOLDER IN_FLIGHT`. Runs in fenic's own environment."""

import os
import sys
from pathlib import Path

url, n, folder, in_flight = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
os.environ.update({"OPENAI_API_KEY": "none", "OPENAI_BASE_URL": url})

import fenic as fc  # noqa: E402  the environment decides what it asks
from fenic.api.session.config import LLMResponseCacheConfig  # noqa: E402

PROMPT = "Give one word for row {{i}}, which says: the quick brown fox jumps over the lazy dog, again and again, until somebody counts."

models = {"m": fc.OpenAILanguageModel(model_name="gpt-4o-mini", rpm=10_000_000, tpm=10_000_000_000)}
kept = LLMResponseCacheConfig(ttl="7d", max_size_mb=5_000)
config = fc.SessionConfig(app_name="bench", db_path=folder, semantic=fc.SemanticConfig(language_models=models, llm_response_cache=kept))
session = fc.Session.get_or_create(config)
df = session.create_dataframe({"i": list(range(n))})
rows = df.select("i", fc.semantic.map(PROMPT, i=fc.col("i")).alias("answer")).to_polars()
rows.write_parquet(folder / "out.parquet")
assert rows.height == n
assert rows["answer"].null_count() == 0
session.stop()
