"""Let a model judge its own answers and learn from its verdicts, round after round: one lazy plan. On an embedded model: no key, no download.

Each round's adapter is an edge of the next round, so a change in the last round re-runs the last round alone.
"""

import sys
from pathlib import Path
from typing import Literal

from peft import LoraConfig

import dreamframe as dr

here = Path(__file__).parent
base = sys.argv[1] if len(sys.argv) > 1 else dr.SmolLM2().model
VERDICT = "Which answer to the question is better, a or b?\n\nQuestion: {question}\n\na: {a}\n\nb: {b}"

questions = dr.scan_csv(here / "pairs.csv").select("question")
llm = dr.Transformers(base, max_tokens=16)
for r in range(3):
    answered = questions.shard(3, r).prompt(llm, "{question}", into="a", seed=0).prompt(llm, "{question}", into="b", seed=1)
    judged = answered.prompt(llm, VERDICT, schema=Literal["a", "b"], into="winner")  # a small model is held to the two words
    preferences = judged.to_preferences(winner="winner", a="a", b="b", prompt="question")
    dpo = dr.DPO(base, peft=LoraConfig(r=4, target_modules=["q_proj", "v_proj"]), steps=2, batch_size=2, learning_rate=1e-3)
    llm = dr.Transformers(base, adapter=preferences.train(dpo), max_tokens=16)
answers = questions.prompt(llm, "{question}", into="answer", temperature=0)

with dr.Session(here / "output") as session:
    answers.write_parquet(here / "output" / "rewarded.parquet")
    answers.show(2)
    print(f"this run: {session.summary()}")
