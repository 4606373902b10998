"""Align a chat model with pairs of answers, of which one was preferred (DPO). On an embedded model: no key, no download.

For real: a base such as "meta-llama/Llama-3.2-1B-Instruct" and thousands of pairs. To publish for real: leave out dry_run=True.
"""

from argparse import ArgumentParser
from pathlib import Path

import dreamframe as dr

here = Path(__file__).parent
given = ArgumentParser()
given.add_argument("--base", default=dr.SmolLM2(), help="what is trained: a folder or an id of the Hub")
given.add_argument("--rows", type=int, help="how many rows")
ask = given.parse_args()

train, validation = dr.scan_csv(here / "pairs.csv", n_rows=ask.rows).split(train=0.75, validation=0.25, seed=0)
dpo = dr.DPO(ask.base, peft={"r": 8, "target_modules": ["q_proj", "v_proj"]}, steps=4, batch_size=3, learning_rate=1e-3)
model = train.train(dpo, prompt="question", chosen="chosen", rejected="rejected", validation=validation)
answered = validation.prompt(model.llm(temperature=0, max_tokens=12), "{question}", into="answer")

with dr.Session(here / "output") as session:
    answered.write_parquet(here / "output" / "aligned.parquet")
    for row in answered.collect().to_dicts():
        print(f"{row['question']}\n  preferred: {row['chosen']}\n  tuned:     {row['answer']}…\n")
    metrics = model.summary()["metrics"]
    ahead, right = metrics["eval_rewards/margins"], metrics["eval_rewards/accuracies"]
    print(f"on pairs that it did not see, the preferred answer is ahead by {ahead:.3f} on average, and in {right:.0%} of them")
    done = model.push_to_hub("me/aligned_model", dry_run=True)
    print(f"would go to {done.url}: {', '.join(done.written)}\nthis run: {session.summary()}")
