"""A pandas script with one column that a model writes. On an embedded model: no key, no download.

`.dream` makes a plan of a pandas frame, and to_pandas() gives one back. An index is no column: name it first, with reset_index(). Needs pandas.
"""

from argparse import ArgumentParser
from pathlib import Path
from typing import Literal

import pandas as pd

import dreamframe as dr

here = Path(__file__).parent
given = ArgumentParser()
given.add_argument("--llm", default="smollm2", help="the model, as provider/name: openai/gpt-4o-mini")
given.add_argument("--rows", type=int, help="how many rows")
ask = given.parse_args()
llm = dr.llm(ask.llm, temperature=0)

reviews = pd.read_csv(here / "reviews.csv", nrows=ask.rows)
question = "What is the sentiment of this review?\n\n{review}"
moods = reviews.dream.prompt(llm, question, schema=Literal["positive", "negative"], into="mood")

with dr.Session(here / "output") as session:
    told = moods.to_pandas()
    told.to_parquet(here / "output" / "pandas_moods.parquet", index=False)
    print(told["mood"].value_counts().sort_index())
    print(told[told["mood"] == "negative"].head(3).to_string(index=False))
    print(f"this run: {session.summary()}")
