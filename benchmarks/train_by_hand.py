"""Supervised fine-tuning written by hand, in one process or in several: LoRA over every linear layer, AdamW, bfloat16 where the device knows it.

As one of the processes of torchrun: `torchrun --nproc-per-node=1 -m benchmarks.train_by_hand spec.json`. It prints JSON.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def train(model: str, texts: Sequence[str], out: str, *, steps: int, batch_size: int, device: str, lora: int | None) -> dict[str, Any]:
    """Train on texts in order; seconds from the first step to the saved weights."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model, padding_side="right")
    net: Any = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).to(device)
    if lora:
        from peft import LoraConfig, get_peft_model

        net = get_peft_model(net, LoraConfig(r=lora, target_modules="all-linear", task_type="CAUSAL_LM"))
    whole, world = net, int(os.environ.get("WORLD_SIZE", "0"))
    if world:
        torch.distributed.init_process_group("nccl" if device == "cuda" else "gloo")
        net = torch.nn.parallel.DistributedDataParallel(net)
    learnt = [p for p in net.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(learnt, lr=2e-4, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=steps)
    rank, share = int(os.environ.get("RANK", "0")), batch_size // max(1, world)
    net.train()
    began, losses = time.perf_counter(), []
    for step in range(steps):
        at = (step * batch_size + rank * share) % len(texts)
        held = tokenizer([t + " </s>" for t in texts[at : at + share]], return_tensors="pt", padding=True).to(device)
        labels = held["input_ids"].masked_fill(held["attention_mask"] == 0, -100)
        with torch.autocast(device, dtype=torch.bfloat16, enabled=device == "cuda"):
            loss = net(input_ids=held["input_ids"], attention_mask=held["attention_mask"], labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learnt, 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    if rank == 0:
        whole.save_pretrained(out)
    seconds = time.perf_counter() - began
    if world:
        torch.distributed.destroy_process_group()
    return {"train_s": seconds, "first_loss": losses[0], "last_loss": losses[-1]}


if __name__ == "__main__":
    spec = json.loads(Path(sys.argv[1]).read_text())
    print(json.dumps(train(**spec)))
