"""Clean a data set: keep the articles that are about sports.

The embedded model is too small for a plain question, but it can name a subject, and `parse` says which answers count as yes. With an API:
articles.filter_by(dr.OpenAI("gpt-4o-mini"), "Is the article about sports? Answer 'Yes' or 'No'.\n\n{article}"), where an answer that is neither is a
failed row.
"""

from pathlib import Path

import dreamframe as dr

here = Path(__file__).parent
output = here / "output"
llm = dr.SmolLM2(temperature=0, max_tokens=12)

articles = dr.scan_csv(here / "articles.csv")
label = "Label the article with one of: sports, politics, science, money.\n\nArticle: {article}\n\nLabel:"
sports = articles.filter_by(llm, label, parse=lambda answer: answer.lower().startswith("sports"))

with dr.Session(output) as session:
    sports.show(6)
    sports.write_parquet(output / "sports.parquet")
    print(f"this run: {session.summary()}")
