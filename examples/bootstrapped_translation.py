"""Translate with nothing to learn from: the best translations of a round are the examples that the next round is shown, and the last ones those with
which everything else is translated.

The loop only builds a plan: each round's pool is an edge of the next round's prompts. After Patel et al. 2023 (https://arxiv.org/abs/2209.14500). The
embedded model is too small to know French, so what it prints shows the steps and is no translation. With an API: --llm openai/gpt-4o-mini, a
multilingual embedder such as dr.SentenceTransformer("sentence-transformers/LaBSE"), and Tamil. To publish for real: leave out dry_run=True.
"""

from argparse import ArgumentParser
from pathlib import Path

import dreamframe as dr

here = Path(__file__).parent
output = here / "output"
given = ArgumentParser()
given.add_argument("--llm", default="smollm2", help="the model, as provider/name: openai/gpt-4o-mini")
given.add_argument("--rows", type=int, help="how many rows")
ask = given.parse_args()
llm = dr.llm(ask.llm, temperature=0, max_tokens=20, stop=["\n"])
embedder = dr.MiniLM()
TASK = "Translate the sentence to French."
english, test = dr.scan_csv(here / "english.csv", n_rows=ask.rows).split(train=0.8, test=0.2, seed=0)

question = dr.Instruct(TASK, input="sentence")
for r in range(3):
    translated = english.shard(3, r).prompt(llm, question, into="french")
    pool = translated.similarity("sentence", "french", by=embedder, into="similarity").sort("similarity", descending=True).head(2)
    question = dr.FewShot(TASK, input="sentence", output="french", examples=pool)
translations = test.prompt(llm, question, into="french")

with dr.Session(output) as session:
    print(translations.explain(), "\n")
    translations.write_parquet(output / "translations.parquet")
    for row in translations.collect().to_dicts():
        print(f"{row['sentence']}  →  {row['french']}")
    done = translations.push_to_hub("me/english_to_french", dry_run=True)
    print(f"would go to {done.url}: {', '.join(done.written)}\nthis run: {session.summary()}")
