"""Teach a small model behind an API to answer as a large one does. Needs OPENAI_API_KEY (or OPENAI_BASE_URL of a server that speaks its protocol).

Killed at any moment, it goes on where it was: no answer is asked twice, no file goes up twice, and no job is started twice.
"""

import os
from pathlib import Path

import dreamframe as dr

here = Path(__file__).parent
server = os.environ.get("OPENAI_BASE_URL")
gpt = dr.OpenAI("gpt-4o", base_url=server, temperature=0)

explained = dr.scan_csv(here / "simple_questions.csv").prompt(
    gpt, dr.Instruct('Given the question, give an "Explain it like I\'m 5" answer.', input="title"), into="answer"
)
train, held_out = explained.split(train=0.9, held_out=0.1, seed=0)
model = train.train(dr.OpenAIFineTune("gpt-4o-mini", base_url=server), input="title", output="answer")
compared = held_out.prompt(model.llm(temperature=0), "{title}", into="tuned_answer")

with dr.Session(here / "output") as session:
    compared.write_parquet(here / "output" / "explained.parquet")
    compared.show(2)
    print(f"tuned model: {model.summary()['model']}\nthis run: {session.summary()}")
