"""Let a model judge its own answers and learn from its verdicts, round after round: one lazy plan. On an embedded model: no key, no download.

Each round's adapter is an edge of the next round, so a change in the last round re-runs the last round alone. Each pair of answers is shown in an order
that is drawn, so that a liking for the first place is not what is learnt. After Yuan et al. 2024 (https://arxiv.org/abs/2401.10020).
"""

from argparse import ArgumentParser
from pathlib import Path

import dreamframe as dr

here = Path(__file__).parent
given = ArgumentParser()
given.add_argument("--base", default=dr.SmolLM2().model, help="what is trained: a folder or an id of the Hub")
given.add_argument("--rows", type=int, help="how many rows")
ask = given.parse_args()

questions = dr.scan_csv(here / "pairs.csv", n_rows=ask.rows).select("question")
llm = dr.Transformers(ask.base, max_tokens=40)
for r in range(3):
    asked = questions.shard(3, r).prompt(llm, "{question}", into="a", seed=0, temperature=1.0, max_tokens=16)
    answered = asked.prompt(llm, "{question}", into="b", seed=1, temperature=1.0, max_tokens=16)
    judged = answered.judge(llm, prompt="question", a="a", b="b", into="winner", swap="random")
    train, validation = judged.to_preferences().split(train=0.75, validation=0.25, seed=0)
    dpo = dr.DPO(ask.base, peft={"r": 4, "target_modules": ["q_proj", "v_proj"]}, steps=2, batch_size=2, learning_rate=1e-3)
    model = train.train(dpo, validation=validation)
    llm = dr.Transformers(ask.base, adapter=model, max_tokens=40)
answers = questions.tail(4).prompt(llm, "{question}", into="answer", temperature=0, max_tokens=16)

with dr.Session(here / "output") as session:
    answers.write_parquet(here / "output" / "rewarded.parquet")
    print("the last round's verdicts:")
    for row in judged.collect().to_dicts():
        print(f"{row['question']}\n  a: {row['a']!r}\n  b: {row['b']!r}\n  better: {row['winner']}")
    print("\nand the model after it:")
    for row in answers.collect().to_dicts():
        print(f"{row['question']}  {row['answer']!r}")
    done = model.push_to_hub("me/self_rewarded_model", dry_run=True)
    print(f"would go to {done.url}: {', '.join(done.written)}\nthis run: {session.summary()}")
