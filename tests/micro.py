"""Models so small that a test session builds its own: seconds to make, saved as folders, the same weights every time."""

from __future__ import annotations

import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any

SEED = 7
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SPECIAL = ["<pad>", "<unk>", "<s>", "</s>", "<|im_start|>", "<|im_end|>"]
CORPUS = [
    "the kettle boils in two minutes and the lamp is warm",
    "is this review positive or negative? answer yes or no.",
    "tell me about tea, coffee and bread in one line",
    '{"answer": "positive"} {"answer": "negative"} true false 0 1 2 3 4 5 6 7 8 9',
]


@lru_cache(maxsize=1)
def folder() -> Path:
    """Where this session's models lie; removed when the process ends."""
    made = tempfile.TemporaryDirectory(prefix="dreamframe-micro-")
    _kept.append(made)
    return Path(made.name)


_kept: list[tempfile.TemporaryDirectory[str]] = []


@lru_cache(maxsize=1)
def micro_tokenizer() -> Any:
    """A byte-level BPE tokenizer of 285 tokens with a ChatML template."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    raw = Tokenizer(models.BPE(unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=285, special_tokens=SPECIAL, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    raw.train_from_iterator(CORPUS, trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, pad_token="<pad>", unk_token="<unk>", bos_token="<s>", eos_token="<|im_end|>")
    tokenizer.chat_template = CHATML
    tokenizer.model_max_length = 256
    return tokenizer


def micro_causal(*, chat: bool = True, width: int = 32) -> Path:
    """A Llama of 2 layers that reads 256 tokens. Without `chat` it has no chat template: a base model."""
    return _causal(chat, width)


@lru_cache(maxsize=4)
def _causal(chat: bool, width: int) -> Path:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(SEED)
    config = LlamaConfig(
        vocab_size=len(micro_tokenizer()),
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        initializer_range=0.4,  # far from uniform, so that answers differ from prompt to prompt
        tie_word_embeddings=True,
        **_tokens(),
    )
    return _saved(LlamaForCausalLM(config), "causal" + f"-{width}" * (width != 32) + "-base" * (not chat), chat=chat)


@lru_cache(maxsize=1)
def micro_seq2seq() -> Path:
    """A T5 of 2 + 2 layers, 32 wide."""
    import torch
    from transformers import T5Config, T5ForConditionalGeneration

    torch.manual_seed(SEED)
    size = len(micro_tokenizer())
    config = T5Config(vocab_size=size, d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4, decoder_start_token_id=0, initializer_factor=3.0, **_tokens())
    return _saved(T5ForConditionalGeneration(config), "seq2seq", chat=False)


@lru_cache(maxsize=4)
def micro_classifier(*, labels: tuple[str, ...] = ("negative", "positive"), multi_label: bool = False) -> Path:
    """A BERT-like classifier of 2 layers, 32 wide."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(SEED)
    config = BertConfig(
        vocab_size=len(micro_tokenizer()),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=256,
        initializer_range=0.4,
        id2label=dict(enumerate(labels)),
        label2id={label: i for i, label in enumerate(labels)},
        problem_type="multi_label_classification" if multi_label else "single_label_classification",
        pad_token_id=0,
    )
    return _saved(BertForSequenceClassification(config), f"classifier-{'-'.join(labels)}-{multi_label}", chat=False)


@lru_cache(maxsize=1)
def micro_encoder() -> Path:
    """A BERT-like encoder of 2 layers, 32 wide, as the base of embedders."""
    import torch
    from transformers import BertConfig, BertModel

    torch.manual_seed(SEED)
    config = BertConfig(
        vocab_size=len(micro_tokenizer()),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=256,
        initializer_range=0.4,
        pad_token_id=0,
    )
    return _saved(BertModel(config), "encoder", chat=False)


@lru_cache(maxsize=1)
def micro_masked() -> Path:
    """A BERT-like masked language model of 2 layers, 32 wide, as the base of sparse encoders."""
    import torch
    from transformers import BertConfig, BertForMaskedLM

    torch.manual_seed(SEED)
    config = BertConfig(
        vocab_size=len(micro_tokenizer()),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=256,
        initializer_range=0.4,
        pad_token_id=0,
    )
    return _saved(BertForMaskedLM(config), "masked", chat=False)


def _tokens() -> dict[str, int]:
    tokenizer = micro_tokenizer()
    return {"pad_token_id": tokenizer.pad_token_id, "bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}


def _saved(model: Any, name: str, *, chat: bool) -> Path:
    from dreamframe.models.local.quiet import quiet

    out = folder() / name
    with quiet():
        model.save_pretrained(out)
    tokenizer = micro_tokenizer()
    template, tokenizer.chat_template = tokenizer.chat_template, CHATML if chat else None
    tokenizer.save_pretrained(out)
    tokenizer.chat_template = template
    return out
