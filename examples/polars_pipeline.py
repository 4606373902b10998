"""A polars pipeline with one column that a model writes. On an embedded model: no key, no download.

The file is read, grouped and joined by polars; `.dream` makes a plan of a lazy frame, the model's column is an expression among others, and the rows
are polars' again. Only rows with a short review are asked about: the filter goes below the model's column, which it does not read.
"""

from argparse import ArgumentParser
from pathlib import Path
from typing import Literal

import polars as pl

import dreamframe as dr

here = Path(__file__).parent
given = ArgumentParser()
given.add_argument("--llm", default="smollm2", help="the model, as provider/name: openai/gpt-4o-mini")
given.add_argument("--rows", type=int, help="how many rows")
ask = given.parse_args()
llm = dr.llm(ask.llm, temperature=0)

reviews = pl.scan_csv(here / "reviews.csv", n_rows=ask.rows).with_columns(length=pl.col("review").str.len_chars())
mood = dr.prompt(llm, "What is the sentiment of this review?\n\n{review}", schema=Literal["positive", "negative"])
told = reviews.dream.with_columns(mood=mood).filter(pl.col("length") < 60)

with dr.Session(here / "output") as session:
    rows = told.collect()  # a polars frame
    rows.write_parquet(here / "output" / "moods.parquet")
    print(rows.group_by("mood").agg(pl.len().alias("reviews"), pl.col("length").mean().round(1)).sort("mood"))
    print(f"this run: {session.summary()}")
