"""Tune a base model on instructions, with a chat template of your own. On an embedded model: no key, no download.

For real: a base such as "meta-llama/Llama-3.2-1B", thousands of rows, and device=["cuda:0", "cuda:1"], dtype="bfloat16" for two GPUs.
"""

import sys
from pathlib import Path

from peft import LoraConfig

import dreamframe as dr

here = Path(__file__).parent
base = sys.argv[1] if len(sys.argv) > 1 else dr.SmolLM2()
TEMPLATE = "### Instruction:\n{{prompt}}\n\n### Response:\n"

train, validation = dr.scan_csv(here / "instructions.csv").split(train=0.8, validation=0.2, seed=0)
sft = dr.SFT(base, chat_template=TEMPLATE, peft=LoraConfig(r=8, target_modules="all-linear"), steps=4, batch_size=4, learning_rate=1e-3)
model = train.train(sft, prompt="instruction", completion="output", validation=validation)
tuned = validation.prompt(model.llm(temperature=0, max_tokens=12), "{instruction}", into="tuned_output")

with dr.Session(here / "output") as session:
    tuned.write_parquet(here / "output" / "instructed.parquet")
    tuned.show(2)
    print(model.metrics().select("step", "loss", "eval_loss"))
    print(f"this run: {session.summary()}")
