"""Add to a data set: for each question the simpler questions that lead to its answer, ready to be published.

With an API: llm = dr.OpenAI("gpt-4o-mini"), and the questions of a data set from the Hub.
"""

from pathlib import Path

import polars as pl

import dreamframe as dr

here = Path(__file__).parent
output = here / "output"
llm = dr.SmolLM2(temperature=0, max_tokens=200)  # a list that is cut off is a failed row

questions = dr.scan_csv(here / "questions.csv")
decomposed = dr.recipes.decompose(questions, llm, "question", least=2, most=3, on_error="drop").with_columns(n=pl.col("steps").list.len())

with dr.Session(output) as session:
    decomposed.show(2)
    decomposed.write_parquet(output / "decompositions.parquet")
    print(f"questions left out: {decomposed.failures().height}")
    print(f"this run: {session.summary()}")
