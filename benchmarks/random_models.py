"""Models with random weights and the texts for them, made where they are measured: a machine without network needs no download.

Speed does not depend on what weights say, and answers of random weights run to their limit, so that all ways make as many tokens.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WORDS = 32_000  # of the vocabulary; each is one token
SPECIAL = ["<pad>", "<unk>", "<s>", "</s>", "<|user|>", "<|assistant|>"]
TEMPLATE = "{% for m in messages %}<|user|> {{ m['content'] }} {% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"


@dataclass(frozen=True)
class Size:
    """How large a model is."""

    layers: int
    width: int
    heads: int
    words: int = WORDS


def texts(n: int, *, least: int, most: int, words: int = WORDS, seed: int = 0) -> list[str]:
    """n texts of `least` to `most` tokens."""
    draw = random.Random(seed)
    return [" ".join(f"w{draw.randrange(words)}" for _ in range(draw.randint(least, most))) for _ in range(n)]


def tokenizer_of(words: int) -> Any:
    """A tokenizer to which every word is one token."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    names = [*SPECIAL, *(f"w{i}" for i in range(words))]
    raw = Tokenizer(models.WordLevel({w: i for i, w in enumerate(names)}, unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made = PreTrainedTokenizerFast(tokenizer_object=raw, pad_token="<pad>", unk_token="<unk>", bos_token="<s>", eos_token="</s>")
    made.add_special_tokens({"additional_special_tokens": SPECIAL[4:]})
    made.model_max_length, made.padding_side = 4096, "left"
    return made


def language_model(folder: Path, size: Size) -> Path:
    """A Llama in bfloat16, as a folder."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    tokenizer = tokenizer_of(size.words)
    tokenizer.chat_template = TEMPLATE
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=size.width, intermediate_size=4 * size.width, num_hidden_layers=size.layers, num_attention_heads=size.heads,
        num_key_value_heads=max(1, size.heads // 4), max_position_embeddings=4096, tie_word_embeddings=False, pad_token_id=0, bos_token_id=2, eos_token_id=3,
    )  # fmt: skip
    return _saved(LlamaForCausalLM(config).to(torch.bfloat16), tokenizer, folder)


def embedder(folder: Path, size: Size) -> Path:
    """A BERT with the mean of its tokens, as a folder of sentence-transformers."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import Pooling, Transformer
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    tokenizer = tokenizer_of(size.words)
    tokenizer.model_max_length, tokenizer.padding_side = 512, "right"
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=size.width, intermediate_size=4 * size.width, num_hidden_layers=size.layers, num_attention_heads=size.heads,
        max_position_embeddings=512, pad_token_id=0,
    )  # fmt: skip
    bare = _saved(BertModel(config), tokenizer, folder / "bare")
    reader = Transformer(str(bare))
    SentenceTransformer(modules=[reader, Pooling(size.width)], device="cpu").save(str(folder / "whole"))
    return folder / "whole"


def _saved(model: Any, tokenizer: Any, folder: Path) -> Path:
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
