"""Translate with nothing to learn from: the best translations of a round are the examples that the next round is shown.

The loop only builds a plan: each round's pool is an edge of the next round's prompts. After Patel et al. 2023 (https://arxiv.org/abs/2209.14500).
With an API: llm = dr.OpenAI("gpt-4o-mini"), a multilingual embedder such as dr.SentenceTransformer("sentence-transformers/LaBSE"), and Tamil.
"""

from pathlib import Path

import dreamframe as dr

here = Path(__file__).parent
output = here / "output"
llm = dr.SmolLM2(temperature=0, max_tokens=20, stop=["\n"])
embedder = dr.MiniLM()
english = dr.scan_csv(here / "english.csv")

pool = None
for r in range(3):
    task = "Translate the sentence to French."
    ask = dr.Instruct(task, input="sentence") if pool is None else dr.FewShot(task, input="sentence", output="french", examples=pool)
    translated = english.shard(3, r).prompt(llm, ask, into="french")
    pool = translated.similarity("sentence", "french", by=embedder, into="similarity").sort("similarity", descending=True).head(2)
assert pool is not None

with dr.Session(output) as session:
    print(pool.explain(), "\n")
    pool.show(2)
    pool.write_parquet(output / "translations.parquet")
    print(f"this run: {session.summary()}")
