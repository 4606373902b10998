"""Align a chat model with pairs of answers, of which one was preferred (DPO). On an embedded model: no key, no download."""

import sys
from pathlib import Path

from peft import LoraConfig

import dreamframe as dr

here = Path(__file__).parent
base = sys.argv[1] if len(sys.argv) > 1 else dr.SmolLM2()

train, validation = dr.scan_csv(here / "pairs.csv").split(train=0.75, validation=0.25, seed=0)
dpo = dr.DPO(base, peft=LoraConfig(r=8, target_modules=["q_proj", "v_proj"]), steps=4, batch_size=3, learning_rate=1e-3)
model = train.train(dpo, prompt="question", chosen="chosen", rejected="rejected", validation=validation)
answered = validation.select("question").prompt(model.llm(temperature=0, max_tokens=12), "{question}", into="answer")

with dr.Session(here / "output") as session:
    answered.write_parquet(here / "output" / "aligned.parquet")
    margin = model.summary()["metrics"]["eval_rewards/margins"]
    print(f"chosen answers are ahead by {margin:.3f}\nthis run: {session.summary()}")
