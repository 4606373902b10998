"""The main job, end to end, on embedded models: label, write, filter, fine-tune, ask the tuned model. No key, no download.

Run it twice: the second run makes no model call and trains nothing.
"""

from argparse import ArgumentParser
from pathlib import Path
from typing import Literal

import polars as pl

import dreamframe as dr

here = Path(__file__).parent
given = ArgumentParser()
given.add_argument("--llm", default="smollm2", help="the model, as provider/name: openai/gpt-4o-mini")
given.add_argument("--base", default=dr.SmolLM2(), help="what is trained: a folder or an id of the Hub")
given.add_argument("--rows", type=int, help="how many rows")
ask = given.parse_args()
llm = dr.llm(ask.llm, temperature=0, max_tokens=40)

reviews = (
    dr.scan_csv(here / "reviews.csv", n_rows=ask.rows)
    .prompt(llm, "What is the sentiment of this review?\n\n{review}", schema=Literal["positive", "negative"], into="mood")
    .prompt(llm, "Answer this review of a {product} in one friendly sentence.\n\nReview: {review}", into="reply")
    .filter(pl.col("reply").str.len_chars() > 20)
)
train, held_out = reviews.split(train=0.9, held_out=0.1, seed=0)
sft = dr.SFT(ask.base, peft={"r": 8, "target_modules": "all-linear"}, steps=16, batch_size=4, learning_rate=1e-3)
model = train.train(sft, prompt="review", completion="mood")
tuned = held_out.prompt(model.llm(temperature=0, max_tokens=5), "{review}", into="tuned_mood")

with dr.Session(here / "output") as session:
    print(tuned.explain(), "\n")
    tuned.select("product", "mood", "tuned_mood").show(4)
    reviews.write_parquet(here / "output" / "reviews.parquet")
    print(f"model:   {model.path.relative_to(here)}\nrows:    {(here / 'output' / 'reviews.parquet').relative_to(here)}")
    print(f"session: {(here / 'output').relative_to(here)}\nthis run: {session.summary()}")
