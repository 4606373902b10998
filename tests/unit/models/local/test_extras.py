"""extra= of models in this process: each key changes the answer as the library means it, or is refused before anything is asked."""

from __future__ import annotations

from typing import Any

import pytest

import dreamframe as dr
from dreamframe.errors import SettingError
from tests.asking import ask_all, texts
from tests.micro import micro_causal, micro_seq2seq
from tests.micro_gguf import micro_gguf

PROMPTS = ["tell me about tea", "is this warm? " * 5, "x", "the lamp and the kettle"]
ROWS = dr.frame({"t": ["tea"]})
MODELS: dict[str, Any] = {
    "transformers": lambda **more: dr.Transformers("some/model", **more),
    "llama.cpp": lambda **more: dr.LlamaCpp("model.gguf", **more),
    "smollm2": dr.SmolLM2,
    "parallel": lambda **more: dr.Parallel(dr.SmolLM2(**more), dr.LlamaCpp("model.gguf", **more)),
}
REFUSED = [
    ("llama.cpp", {"nonsense_setting": 1}, "no setting 'nonsense_setting'"),
    ("smollm2", {"repetition_penalty": 3.0}, r"extra has no 'repetition_penalty' here; the same is called 'repeat_penalty'"),
    ("parallel", {"repetition_penalty": 3.0}, "the same is called 'repeat_penalty'"),
    ("transformers", {"repeat_penalty": 3.0}, "the same is called 'repetition_penalty'"),
    ("llama.cpp", {"top_k": "many"}, r"extra=\{'top_k': 'many'\}; give a number"),
    ("llama.cpp", {"temperature": 1}, "a setting of its own: give temperature="),
    ("llama.cpp", {"max_new_tokens": 4}, "give max_tokens="),
    ("llama.cpp", {"num_beams": 4}, "no setting 'num_beams'"),
    ("transformers", {"num_beam": 4}, "Did you mean 'num_beams'"),
    ("transformers", {"num_beams": 0}, "a whole number of 1 or more"),
    ("transformers", {"min_new_tokens": True}, "a whole number of 0 or more"),
    ("transformers", {"length_penalty": 2.0}, "belongs to beam search; give num_beams too"),
    ("transformers", {"do_sample": True}, "give temperature="),
]


@pytest.mark.parametrize(("model", "extra", "said"), REFUSED, ids=lambda v: v if isinstance(v, str) and " " not in v else None)
def test_what_an_engine_does_not_know_is_refused_on_its_line(model: str, extra: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingError, match=said):
        MODELS[model](extra=extra)
    with pytest.raises(SettingError, match=f"^(tag: )?.*{said}"):
        ROWS.prompt(MODELS[model](), "{t}", extra=extra, name="tag")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"temperature": 0.5}, "temperature= has no meaning"),
        ({"logit_bias": {"tea": 1}}, "logit_bias= has no meaning"),
        ({"extra": {"num_beams": 2, "top_k": 3}}, "'top_k'.* has no meaning"),
        ({"schema": bool}, "schema= has no meaning"),
    ],
    ids=lambda v: next(iter(v)) if isinstance(v, dict) else "",
)
def test_beams_go_with_nothing_that_is_drawn_or_held(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingError, match=f"answer|prompt: num_beams searches.*{said}"):
        ROWS.prompt(dr.Transformers("some/model"), "{t}", **{"extra": {"num_beams": 2}, **settings})


def test_limits_that_break_json_do_not_go_with_a_schema() -> None:
    with pytest.raises(SettingError, match="cannot be held together with schema="):
        ROWS.filter_by(dr.Transformers("some/model"), "Is {t} hot?", extra={"no_repeat_ngram_size": 2})
    assert ROWS.filter_by(dr.Transformers("some/model"), "Is {t} hot?", extra={"no_repeat_ngram_size": 2}, free_text=True).columns == ["t"]
    with pytest.raises(SettingError, match="both say what an answer must be"):
        ROWS.prompt(dr.SmolLM2(), "{t}", schema=bool, extra={"grammar": "root ::= \"a\""})


@pytest.mark.parametrize("name", ["repetition_penalty", "top_k", "num_beams"])
def test_a_setting_that_some_models_have_is_told_where_it_goes(name: str) -> None:
    with pytest.raises(SettingError, match=rf"prompt: {name}= is not a setting of every model; .* extra=\{{'{name}': …\}}"):
        ROWS.prompt(dr.testing.Echo(), "{t}", **{name: 2})


LIKE_GENERATE = (
    {"no_repeat_ngram_size": 1},
    {"no_repeat_ngram_size": 2, "min_new_tokens": 12},
    {"num_beams": 4},
    {"num_beams": 3, "length_penalty": 3.0, "no_repeat_ngram_size": 1, "min_new_tokens": 3},
)


@pytest.mark.slow
@pytest.mark.parametrize("make", [micro_causal, micro_seq2seq], ids=["causal", "seq2seq"])
def test_each_answer_is_that_of_the_librarys_generate(make: Any) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

    is_seq2seq = make is micro_seq2seq
    tokenizer = AutoTokenizer.from_pretrained(make())
    model = (AutoModelForSeq2SeqLM if is_seq2seq else AutoModelForCausalLM).from_pretrained(make()).eval()

    def theirs(prompt: str, extra: dict[str, Any]) -> str:
        chat = [{"role": "user", "content": prompt}]
        text = prompt if is_seq2seq else tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
        ids = tokenizer(text, return_tensors="pt", add_special_tokens=is_seq2seq)["input_ids"]
        with torch.inference_mode():
            found = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=12, **extra)[0]
        return str(tokenizer.decode(found[1 if is_seq2seq else ids.shape[1] :], skip_special_tokens=True))

    written = set()
    for extra in LIKE_GENERATE:
        ours = texts(ask_all(dr.Transformers(make(), temperature=0, max_tokens=12, threads=1, extra=extra), PROMPTS))
        assert ours == [theirs(prompt, extra) for prompt in PROMPTS], extra
        written.add(tuple(ours))
    assert len(written) > 1, "settings change answers"


@pytest.mark.slow
def test_no_answer_is_shorter_than_was_asked_for() -> None:
    ends = {"temperature": 0, "max_tokens": 12, "threads": 1, "logit_bias": {"<|im_end|>": 100.0}}
    (none,) = ask_all(dr.Transformers(micro_causal(), **ends), ["tea"])
    (five,) = ask_all(dr.Transformers(micro_causal(), extra={"min_new_tokens": 5}, **ends), ["tea"])
    assert (none.n_out, five.n_out, five.finish) == (0, 5, "stop")


@pytest.mark.slow
def test_llama_cpp_hears_its_own_penalty() -> None:
    def written(**extra: Any) -> str:
        (answer,) = ask_all(dr.LlamaCpp(micro_gguf(), temperature=0, max_tokens=24, threads=1, extra=extra), ["tea"])
        return str(answer.text)

    assert written(repeat_penalty=5.0, repeat_last_n=64) != written()
