"""The micro Llama as a GGUF file, so that llama.cpp and conversions are tested in seconds."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from tests.micro import CHATML, folder, micro_causal, micro_tokenizer

NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}


@lru_cache(maxsize=2)
def micro_gguf(*, chat: bool = True) -> Path:
    """The weights of `micro_causal()` in float32, with its tokenizer."""
    import gguf
    from safetensors.numpy import load_file

    source = micro_causal(chat=chat)
    config = json.loads((source / "config.json").read_text())
    out = folder() / f"micro-{'chat' if chat else 'base'}.gguf"
    writer = gguf.GGUFWriter(out, "llama")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_dimension_count(config["hidden_size"] // config["num_attention_heads"])
    writer.add_vocab_size(config["vocab_size"])
    _add_tokenizer(writer, chat=chat)
    for name, tensor in load_file(source / "model.safetensors").items():
        writer.add_tensor(*_renamed(name, tensor, config))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return out


def _add_tokenizer(writer: Any, *, chat: bool) -> None:
    import gguf

    tokenizer = micro_tokenizer()
    held = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    tokens = sorted(held["vocab"], key=held["vocab"].get)
    special = set(tokenizer.all_special_tokens) | {"<|im_start|>"}
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([gguf.TokenType.CONTROL if t in special else gguf.TokenType.NORMAL for t in tokens])
    writer.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in held["merges"]])
    writer.add_bos_token_id(tokenizer.bos_token_id)
    writer.add_eos_token_id(tokenizer.eos_token_id)
    writer.add_unk_token_id(tokenizer.unk_token_id)
    writer.add_pad_token_id(tokenizer.pad_token_id)
    writer.add_add_bos_token(False)
    if chat:
        writer.add_chat_template(CHATML)


def _renamed(name: str, tensor: Any, config: dict[str, Any]) -> tuple[str, Any]:
    """A tensor's name and layout in GGUF: rotary halves are interleaved there."""
    if name == "model.embed_tokens.weight":
        return "token_embd.weight", tensor
    if name == "model.norm.weight":
        return "output_norm.weight", tensor
    if name == "lm_head.weight":
        return "output.weight", tensor
    _, _, layer, rest = name.split(".", 3)
    part = rest.removesuffix(".weight")
    heads = {"self_attn.q_proj": config["num_attention_heads"], "self_attn.k_proj": config["num_key_value_heads"]}.get(part)
    if heads:
        shape = tensor.shape
        tensor = tensor.reshape(heads, 2, shape[0] // heads // 2, *shape[1:]).swapaxes(1, 2).reshape(shape)
    return f"blk.{layer}.{NAMES[part]}.weight", tensor


@lru_cache(maxsize=2)
def micro_lora_gguf(*, seed: int = 0) -> Path:
    """A LoRA adapter for `micro_gguf()` that changes its answers: rank 2 on the values of every layer."""
    import gguf
    import numpy as np

    config = json.loads((micro_causal() / "config.json").read_text())
    width = config["hidden_size"]
    n_values = width // config["num_attention_heads"] * config["num_key_value_heads"]
    out = folder() / f"micro-lora-{seed}.gguf"
    writer = gguf.GGUFWriter(out, "llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", 16.0)
    random = np.random.default_rng(seed)
    for layer in range(config["num_hidden_layers"]):
        writer.add_tensor(f"blk.{layer}.attn_v.weight.lora_a", random.normal(size=(2, width)).astype("float32"))
        writer.add_tensor(f"blk.{layer}.attn_v.weight.lora_b", random.normal(size=(n_values, 2)).astype("float32"))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return out
