"""Reinforcement learning from answers that can be checked: make, verify, SFT on what is right, GRPO by the verifier, evaluate, gate. No key, no download.

For real: the questions of dr.scan_hub("openai/gsm8k"), an adapter on a base of some billion parameters, thousands of steps, `dr.verify.code` for programs.
After Tülu 3 (Lambert et al. 2024, https://arxiv.org/abs/2411.15124) and GRPO (Shao et al. 2024, https://arxiv.org/abs/2402.03300).
"""

from argparse import ArgumentParser
from pathlib import Path

import polars as pl

import dreamframe as dr

here = Path(__file__).parent
given = ArgumentParser()
given.add_argument("--llm", default=dr.SmolLM2(temperature=1.0), help="who makes the answers: provider/name")
given.add_argument("--base", default=dr.SmolLM2(), help="what is trained: a folder or an id of the Hub")
given.add_argument("--rows", type=int, help="how many sums")
given.add_argument("--steps", type=int, default=3, help="of SFT; GRPO takes four times as many")
given.add_argument("--batch-size", type=int, default=8, help="of SFT; GRPO takes twice as many completions")
given.add_argument("--learning-rate", type=float, default=1e-4, help="of SFT; GRPO takes a fifth of it")
ask = given.parse_args()
WHO = ["Anna", "Ben", "Cleo", "Dan", "Eva", "Finn", "Gil", "Hana", "Ivo", "Jane", "Kim", "Leo", "Mia", "Noa", "Otto", "Pia"]

numbers = dr.grid({"a": [1, 2, 3, 4], "b": [1, 2, 3, 4]})
sums = (numbers if ask.rows is None else numbers.head(ask.rows)).with_columns(gold=(pl.col("a") + pl.col("b")).cast(pl.String))
tried = sums.prompt(ask.llm, "What is {a} + {b}?", into="answer", schema=int, n=4).explode("answer").cast({"answer": pl.String})
checked = tried.verify(dr.verify.number("answer", "gold"), into="ok")
rates = checked.group_by("a", "b", "gold").agg(pass_rate=pl.col("ok").mean())  # the part of each sum's answers that is right

worded = rates.join(dr.frame({"who": WHO}), how="cross").with_columns(question=pl.format("{} + {} = ? asks {}", "a", "b", "who"))
train, held_out = worded.split(train=0.8, test=0.2, seed=0)
right = train.filter(pl.col("pass_rate") > 0).select("question", answer="gold")
sft = dr.SFT(ask.base, steps=ask.steps, batch_size=ask.batch_size, learning_rate=ask.learning_rate)
taught = right.train(sft, prompt="question", completion="answer")
rewards = dr.verify.number("completion", "gold")
size = {"batch_size": 2 * ask.batch_size, "generations": 8, "max_new_tokens": 2, "temperature": 1.3}
grpo = dr.GRPO(taught, rewards=rewards, steps=4 * ask.steps, learning_rate=ask.learning_rate / 5, **size)
model = train.filter(pl.col("pass_rate") < 1).train(grpo, prompt="question")

answers, models = held_out.repeat_to(128), {"before": dr.Transformers(ask.base), "sft": taught.llm(), "grpo": model.llm()}
for name, llm in models.items():
    answers = answers.prompt(llm, "{question}", into=name, temperature=1.0, max_tokens=2, on_error="null")

with dr.Session(here / "output") as session:
    answers.write_parquet(here / "output" / "verified.parquet")
    print(rates.collect())
    report = answers.evaluate(**{name: dr.verify.number(name, "gold") for name in models})
    print(report)
    report.gate(f"grpo > {report['before'].value}")
    done = model.push_to_hub("me/verified_model", dry_run=True)
    print(f"would go to {done.url}: {', '.join(done.written)}\nthis run: {session.summary()}")
