"""Clean a data set: keep the articles that are about sports. On an embedded model: no key, no download.

The model is held to Yes or No, and small as it is, it wants the question after the article, with examples of what sports are. With an API, and the
articles of dr.scan_hub("abisee/cnn_dailymail", config="3.0.0", split="test"), the plain question does:
articles.filter_by(dr.OpenAI("gpt-4o-mini"), "Is the article about sports? Answer 'Yes' or 'No'.\n\n{article}"). To publish for real: leave out
dry_run=True.
"""

from argparse import ArgumentParser
from pathlib import Path
from typing import Literal

import dreamframe as dr

here = Path(__file__).parent
output = here / "output"
given = ArgumentParser()
given.add_argument("--llm", default="smollm2", help="the model, as provider/name: openai/gpt-4o-mini")
given.add_argument("--rows", type=int, help="how many rows")
ask = given.parse_args()
llm = dr.llm(ask.llm, temperature=0)

articles = dr.scan_csv(here / "articles.csv", n_rows=ask.rows)
about_sports = dr.prompt(llm, "{article}\n\nIs this text about sports, such as football, tennis or running?", schema=Literal["Yes", "No"])
sports = articles.filter(about_sports == "Yes")

with dr.Session(output) as session:
    sports.write_parquet(output / "sports.parquet")
    kept = sports.collect()
    for row in articles.collect().to_dicts():
        print(f"{'kept' if row['id'] in kept['id'] else 'left out':8} {row['article'][:100]}…")
    done = sports.push_to_hub("me/sports_articles", dry_run=True)
    print(f"would go to {done.url}: {', '.join(done.written)}\nthis run: {session.summary()}")
