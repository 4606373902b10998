"""Add to a data set: for each question the simpler questions that lead to its answer, ready to be published.

With an API: --llm openai/gpt-4o-mini, and the questions of a data set from the Hub. To publish for real: leave out dry_run=True.
"""

from argparse import ArgumentParser
from pathlib import Path

import polars as pl

import dreamframe as dr

here = Path(__file__).parent
output = here / "output"
given = ArgumentParser()
given.add_argument("--llm", default="smollm2", help="the model, as provider/name: openai/gpt-4o-mini")
given.add_argument("--rows", type=int, help="how many rows")
ask = given.parse_args()
llm = dr.llm(ask.llm, temperature=0, max_tokens=200)  # a list that is cut off is a failed row

questions = dr.scan_csv(here / "questions.csv", n_rows=ask.rows)
decomposed = dr.recipes.decompose(questions, llm, "question", least=2, most=3, on_error="drop").with_columns(n=pl.col("steps").list.len())

with dr.Session(output) as session:
    decomposed.write_parquet(output / "decompositions.parquet")
    for row in decomposed.collect().head(2).to_dicts():
        print(row["question"], *(f"  {i}. {step}" for i, step in enumerate(row["steps"], 1)), sep="\n")
    done = decomposed.push_to_hub("me/question_decompositions", dry_run=True)
    print(f"\nquestions left out, since their list was cut off: {decomposed.failures().height}")
    print(f"would go to {done.url}: {', '.join(done.written)}\nthis run: {session.summary()}")
