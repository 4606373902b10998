"""Teach a small model behind an API to answer as a large one does. Needs OPENAI_API_KEY (or OPENAI_BASE_URL of a server that speaks its protocol).

Killed at any moment, it goes on where it was: no answer is asked twice, no file goes up twice, and no job is started twice.
"""

import os
from argparse import ArgumentParser
from pathlib import Path

import dreamframe as dr

here = Path(__file__).parent
server = os.environ.get("OPENAI_BASE_URL")
given = ArgumentParser()
given.add_argument("--llm", default="gpt-4o", help="the large model")
given.add_argument("--base", default="gpt-4o-mini", help="the small model, which is tuned")
given.add_argument("--rows", type=int, help="how many rows")
ask = given.parse_args()
gpt = dr.OpenAI(ask.llm, base_url=server, temperature=0)

explained = dr.scan_csv(here / "simple_questions.csv", n_rows=ask.rows).prompt(
    gpt, dr.Instruct('Given the question, give an "Explain it like I\'m 5" answer.', input="title"), into="answer"
)
train, validation = explained.split(train=0.9, validation=0.1, seed=0)
tuning = dr.OpenAIFineTune(ask.base, base_url=server, epochs=30, batch_size=8)
model = train.train(tuning, input="title", output="answer", validation=validation)
compared = validation.prompt(model.llm(temperature=0), "{title}", into="tuned_answer")

with dr.Session(here / "output") as session:
    compared.write_parquet(here / "output" / "explained.parquet")
    for row in compared.collect().to_dicts():
        print(f"{row['title']}\n  large model: {row['answer']}\n  tuned model: {row['tuned_answer']}")
    done = explained.push_to_hub("me/explained_like_i_am_5", splits={"train": train, "validation": validation}, dry_run=True)
    print(f"would go to {done.url}: {', '.join(done.written)}")
    print(f"tuned model: {model.summary()['model']}\nthis run: {session.summary()}")
