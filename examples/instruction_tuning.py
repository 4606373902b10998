"""Tune a base model on instructions, with a chat template of your own. On an embedded model: no key, no download.

For real: a base such as "meta-llama/Llama-3.2-1B", the rows of dr.scan_hub("yahma/alpaca-cleaned"), and device=["cuda:0", "cuda:1"], dtype="bfloat16"
for two GPUs. To publish for real: leave out dry_run=True.
"""

from argparse import ArgumentParser
from pathlib import Path

import polars as pl

import dreamframe as dr

here = Path(__file__).parent
given = ArgumentParser()
given.add_argument("--base", default=dr.SmolLM2(), help="what is trained: a folder or an id of the Hub")
given.add_argument("--rows", type=int, help="how many rows")
ask = given.parse_args()
TEMPLATE = "### Instruction:\n{{prompt}}\n\n### Response:\n"

asked = pl.when(pl.col("input").is_null()).then("instruction").otherwise(pl.format("{}\nInput: {}", "instruction", "input"))
rows = dr.scan_csv(here / "instructions.csv", n_rows=ask.rows).select(asked.alias("instruction"), "output")
train, validation = rows.split(train=0.8, validation=0.2, seed=0)
sft = dr.SFT(ask.base, chat_template=TEMPLATE, peft={"r": 8, "target_modules": "all-linear"}, steps=4, batch_size=4, learning_rate=1e-3)
model = train.train(sft, prompt="instruction", completion="output", validation=validation)
tuned = validation.prompt(model.llm(temperature=0, max_tokens=12), "{instruction}", into="tuned_output")

with dr.Session(here / "output") as session:
    tuned.write_parquet(here / "output" / "instructed.parquet")
    for row in tuned.collect().to_dicts():
        print(f"{row['instruction']}\n  wanted: {row['output']}\n  tuned:  {row['tuned_output']}\n")
    print(model.metrics().group_by("step", maintain_order=True).agg(pl.col("loss", "eval_loss").drop_nulls().first()))
    done = model.push_to_hub("me/instructed_model", dry_run=True)
    print(f"would go to {done.url}: {', '.join(done.written)}\nthis run: {session.summary()}")
