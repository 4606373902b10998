"""dr.Transformers on models that this test session builds: identity, batches, sampling, limits, schemas, adapters."""

from __future__ import annotations

import functools
import json
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal

import pytest

import dreamframe as dr
from dreamframe.errors import BadRequestError, ContextLengthError, PermanentCallError, SettingError
from dreamframe.prompts.answer_schema import AnswerSchema
from tests.asking import ask_all, texts
from tests.micro import micro_causal, micro_seq2seq

pytestmark = pytest.mark.slow  # torch and transformers are loaded

PROMPTS = [f"tell me about {thing} " * (i % 4 + 1) for i, thing in enumerate(["tea", "coffee", "bread", "the lamp", "a kettle", "yes", "no", "line"] * 2)]


def greedy(**settings: Any) -> dr.Transformers:
    return dr.Transformers(micro_causal(), **{"temperature": 0, "max_tokens": 8, "threads": 1, **settings})


def schema(shape: Any) -> str:
    held = AnswerSchema.of(shape)
    assert held is not None
    return held.json_schema


# Settings and identity


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        pytest.param({"quantization": "2bit"}, "quantization='2bit' is not one of '8bit', '4bit'", id="quantization"),
        pytest.param({"dtype": "int3"}, "dtype='int3'", id="dtype"),
        pytest.param({"batch_tokens": 0}, "batch_tokens=0", id="batch_tokens"),
        pytest.param({"max_tokns": 3}, "max_tokns", id="unknown"),
    ],
)
def test_impossible_settings_are_refused_where_they_are_written(settings: dict[str, Any], said: str) -> None:
    with pytest.raises((SettingError, TypeError), match=said):
        dr.Transformers("some/model", **settings)


def test_identity_is_content_not_path(tmp_path: Path) -> None:
    copy = tmp_path / "another-name"
    shutil.copytree(micro_causal(), copy)
    (copy / "README.md").write_text("a card is not content")
    same = dr.Transformers(copy).identity_fields()
    assert same == dr.Transformers(micro_causal()).identity_fields()
    (copy / "generation_config.json").write_text('{"do_sample": true}')
    assert dr.Transformers(copy).identity_fields() != same


@pytest.mark.parametrize("changed", [{"dtype": "bfloat16"}, {"quantization": "8bit"}, {"chat_template": "{{ messages }}"}], ids=lambda c: next(iter(c)))
def test_what_decides_the_answer_is_identity(changed: dict[str, Any]) -> None:
    assert greedy(**changed).identity_fields() != greedy().identity_fields()


@pytest.mark.parametrize("changed", [{"device": "cuda"}, {"batch_tokens": 7}, {"concurrency": 3}], ids=lambda c: next(iter(c)))
def test_what_steers_is_not_identity(changed: dict[str, Any]) -> None:
    assert greedy(**changed).identity_fields() == greedy().identity_fields()


def test_identity_loads_neither_torch_nor_transformers() -> None:
    code = (
        "import sys, dreamframe as dr\n"
        f"dr.Transformers({str(micro_causal())!r}).identity_fields()\n"
        "print([m for m in ('torch', 'transformers', 'numpy') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_a_path_that_does_not_exist_is_said_to() -> None:
    with pytest.raises(SettingError, match="no such file or folder"):
        dr.Transformers("/nowhere/at all").identity_fields()


def test_a_folder_without_a_model_is_refused_before_torch_is_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dreamframe.models.local.decoder", None)  # what imports torch cannot be imported
    with pytest.raises(SettingError, match=r"no config\.json"):
        texts(ask_all(dr.Transformers(str(tmp_path)), ["x"]))


def test_a_folder_without_a_model_stops_the_run(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"no config\.json"):
        texts(ask_all(dr.Transformers(tmp_path), ["x"]))


def test_damaged_weights_stop_the_run(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(micro_causal(), broken)
    (broken / "model.safetensors").write_bytes(b"not weights")
    (error,) = ask_all(dr.Transformers(broken), ["x"])
    assert isinstance(error, PermanentCallError)
    assert error.stops_run
    assert "could not be loaded" in str(error)


# Batches


def test_greedy_answers_do_not_depend_on_the_batch() -> None:
    alone = texts(ask_all(greedy(), PROMPTS, one_by_one=True))
    assert len(set(alone)) > len(alone) // 3  # the answers tell the rows apart
    for tokens in (60, 400, 10_000):
        assert texts(ask_all(greedy(batch_tokens=tokens), PROMPTS)) == alone
    backwards = texts(ask_all(greedy(), PROMPTS[::-1]))
    assert backwards[::-1] == alone


def test_64_greedy_requests_give_the_same_answers_one_by_one_in_batches_of_8_and_32_and_shuffled() -> None:
    prompts = [f"{i}. {PROMPTS[i % 16]}" for i in range(64)]
    alone = texts(ask_all(greedy(), prompts, one_by_one=True))
    assert len(set(alone)) > 20, "the answers tell the rows apart"
    longest = max(len(p) for p in prompts) + 30  # tokens, at the most, with the template and the answer
    for rows in (8, 32):
        assert texts(ask_all(greedy(batch_tokens=rows * longest), prompts)) == alone
    order = random.Random(0).sample(range(64), 64)
    assert texts(ask_all(greedy(), [prompts[i] for i in order])) == [alone[i] for i in order]


def test_what_prompts_share_is_read_once_and_changes_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import LlamaForCausalLM

    documents = [f"the kettle number {d} boils in {d + 2} minutes and the lamp is warm. " * 2 for d in range(3)]
    prompts = [f"{documents[i % 3]}{['is it tea?', 'coffee or bread?', 'yes', 'one line about it'][i // 3]}" for i in range(12)]
    alone = texts(ask_all(greedy(), prompts, one_by_one=True))
    assert len(set(alone)) > 3, "the answers tell the rows apart"
    read, forward = [], LlamaForCausalLM.forward

    @functools.wraps(forward)
    def counting(self: Any, *args: Any, **given: Any) -> Any:
        read.append(tuple(given["input_ids"].shape))
        return forward(self, *args, **given)

    monkeypatch.setattr(LlamaForCausalLM, "forward", counting)
    answers = ask_all(greedy(), prompts)
    assert texts(answers) == alone
    padded = len(prompts) * max(a.n_in for a in answers)
    assert read[0][0] == 3, "each document once"
    assert sum(rows * tokens for rows, tokens in read[:2]) < padded // 2
    assert texts(ask_all(greedy(temperature=1.0), prompts)) == texts(ask_all(greedy(temperature=1.0), prompts, one_by_one=True))


def test_sampled_answers_do_not_depend_on_the_batch_and_repeat() -> None:
    llm = greedy(temperature=1.0, top_p=0.9, extra={"top_k": 50, "min_p": 0.001})
    together = texts(ask_all(llm, PROMPTS))
    assert texts(ask_all(llm, PROMPTS, one_by_one=True)) == together
    assert texts(ask_all(greedy(temperature=1.0, top_p=0.9, seed=5), PROMPTS)) != together


def test_samples_of_one_prompt_differ() -> None:
    answers = texts(ask_all(greedy(temperature=1.0), ["tea"] * 6, samples=range(6)))
    assert len(set(answers)) == 6


def test_seq2seq_answers_do_not_depend_on_the_batch() -> None:
    llm = dr.Transformers(micro_seq2seq(), temperature=0, max_tokens=8, threads=1)
    alone = texts(ask_all(llm, PROMPTS, one_by_one=True))
    assert texts(ask_all(llm, PROMPTS)) == alone
    assert len(set(alone)) > 3


def test_it_answers_as_the_librarys_own_generate_does() -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(micro_causal())
    model = AutoModelForCausalLM.from_pretrained(micro_causal(), dtype=torch.float32)
    expected = []
    for prompt in PROMPTS[:6]:
        text = tokenizer.apply_chat_template([{"role": "user", "content": prompt}], tokenize=False, add_generation_prompt=True)
        ids = tokenizer(text, return_tensors="pt", add_special_tokens=False).input_ids
        out = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=8, do_sample=False)
        expected.append(tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True))
    assert texts(ask_all(greedy(), PROMPTS[:6])) == expected


# Limits, stops and biases


def test_tokens_and_finish_are_counted() -> None:
    (answer,) = ask_all(greedy(max_tokens=5), ["tea"])
    assert (answer.finish, answer.n_out, answer.model) == ("length", 5, "causal")
    assert answer.n_in > 5


def test_a_prompt_over_the_context_fails_alone() -> None:
    error, answer = ask_all(greedy(), ["tea " * 300, "tea"])
    assert isinstance(error, ContextLengthError)
    assert "reads 256" in str(error)
    assert answer.finish == "length"


def test_an_answer_ends_at_a_stop_string_that_is_cut_off() -> None:
    (whole,) = texts(ask_all(greedy(max_tokens=30), ["bread"]))
    stop = whole[7:9]
    (answer,) = ask_all(greedy(max_tokens=30, stop=[stop]), ["bread"])
    assert answer.text == whole[: whole.index(stop)]
    assert answer.finish == "stop"
    assert answer.n_out < 30


def test_a_biased_token_is_written_and_a_banned_one_is_not() -> None:
    from tests.micro import micro_tokenizer

    token = micro_tokenizer()("7")["input_ids"][0]
    (answer,) = texts(ask_all(greedy(logit_bias={"7": 100}), ["tea"]) if token == 7 else ask_all(greedy(logit_bias={str(token): 100}), ["tea"]))
    assert answer == "7" * 8


def test_penalties_keep_tokens_from_coming_back() -> None:
    (repeated,) = ask_all(greedy(max_tokens=20, logit_bias={"a": 100.0}), ["tea"])
    assert set(repeated.text) == {"a"}
    (varied,) = ask_all(greedy(max_tokens=20, logit_bias={"a": 100.0}, presence_penalty=1000), ["tea"])
    assert varied.text.startswith("a")
    assert varied.text[1] != "a"


def test_an_unknown_extra_is_named() -> None:
    with pytest.raises(SettingError, match=r"no setting 'topk'\. Did you mean 'top_k'"):
        texts(ask_all(greedy(extra={"topk": 3}), ["x"]))


# Prompts


def test_the_system_prompt_and_the_template_are_used() -> None:
    template = "{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }}{% endfor %}"
    (plain,) = ask_all(greedy(chat_template=template), ["x"])
    (with_system,) = ask_all(greedy(chat_template=template, system="abc"), ["x"])
    assert with_system.n_in > plain.n_in


def test_a_template_that_refuses_the_messages_fails_the_row() -> None:
    template = "{{ raise_exception('roles must alternate') }}"
    (error,) = ask_all(greedy(chat_template=template), ["x"])
    assert isinstance(error, BadRequestError)
    assert "roles must alternate" in str(error)


def test_a_base_model_continues_the_prompt() -> None:
    llm = dr.Transformers(micro_causal(chat=False), temperature=0, max_tokens=4, threads=1)
    (answer,) = ask_all(llm, ["tea"])
    (chat,) = ask_all(greedy(), ["tea"])
    assert answer.n_in < chat.n_in
    (error,) = ask_all(llm, [json.dumps([{"role": "user", "content": "hi"}])], form="messages")
    assert "no chat template" in str(error)


# Schemas


@pytest.mark.parametrize(
    "shape",
    [pytest.param(Literal["positive", "negative"], id="labels"), pytest.param(bool, id="bool"), pytest.param(int, id="int")],
)
def test_every_answer_under_a_schema_is_a_value_of_it(shape: Any) -> None:
    held = AnswerSchema.of(shape)
    assert held is not None
    answers = ask_all(greedy(max_tokens=60, temperature=1.0), PROMPTS, json_schema=held.json_schema)
    finished = [held.parse(a.text) for a in answers if a.finish == "stop"]
    assert len(finished) >= (len(PROMPTS) if shape is not int else len(PROMPTS) // 2)  # a number may run into the limit


def test_an_object_under_a_schema_is_whole_json() -> None:
    shape = {
        "type": "object",
        "properties": {"mood": {"enum": ["good", "bad"]}, "stars": {"type": "integer", "minimum": 1, "maximum": 5}},
        "required": ["mood", "stars"],
        "additionalProperties": False,
    }
    for answer in ask_all(greedy(max_tokens=60), PROMPTS, json_schema=json.dumps(shape)):
        held = json.loads(answer.text)
        assert held["mood"] in ("good", "bad")
        assert 1 <= held["stars"] <= 5


def test_a_schema_that_cannot_be_decoded_fails_the_row() -> None:
    (error,) = ask_all(greedy(), ["x"], json_schema='{"type": "what"}')
    assert isinstance(error, BadRequestError)


def test_rows_with_and_without_schema_share_a_model_through_a_plan() -> None:
    frame = dr.frame({"t": ["tea", "bread"]}).prompt(greedy(), "{t}", into="free").prompt(greedy(max_tokens=40), "{t}", into="mood", schema=["good", "bad"])
    with dr.Session(None) as session:
        rows = frame.collect()
        assert session.usage()["calls"] == 4
    assert rows["mood"].is_in(["good", "bad"]).all()


# Adapters, quantisation, remote code


def lora(folder: Path) -> Path:
    """An adapter with weights that change the answers."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(micro_causal()), LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False))
    model.save_pretrained(folder)
    return folder


def test_an_adapter_changes_the_answers_and_the_identity(tmp_path: Path) -> None:
    tuned = greedy(adapter=lora(tmp_path / "lora"))
    assert texts(ask_all(tuned, PROMPTS)) != texts(ask_all(greedy(), PROMPTS))
    assert tuned.identity_fields() != greedy().identity_fields()
    assert tuned.label == "causal + lora"


def test_a_folder_that_is_no_adapter_is_refused() -> None:
    with pytest.raises(SettingError, match=r"it has no adapter_config\.json"):
        greedy(adapter=micro_causal()).identity_fields()


def test_an_adapter_as_the_model_is_refused_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="give its base as the model"):
        texts(ask_all(dr.Transformers(lora(tmp_path / "lora")), ["x"]))


@pytest.mark.parametrize("quantization", ["8bit", "4bit"])
def test_a_quantised_model_answers(quantization: str) -> None:
    pytest.importorskip("bitsandbytes")
    whole = dr.Transformers(micro_causal(width=64), temperature=0, max_tokens=8, threads=1)  # nf4 packs 64 weights together
    packed = dr.Transformers(micro_causal(width=64), temperature=0, max_tokens=8, threads=1, quantization=quantization)
    answers = texts(ask_all(packed, PROMPTS))
    assert len(answers) == len(PROMPTS)
    assert packed.identity_fields() != whole.identity_fields()


def remote(folder: Path) -> Path:
    """A model that comes with code of its own."""
    shutil.copytree(micro_causal(), folder)
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "mine", "architectures": ["Mine"], "auto_map": {"AutoConfig": "mine.MineConfig", "AutoModelForCausalLM": "mine.Mine"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "mine.py").write_text(
        "from transformers import LlamaConfig, LlamaForCausalLM\n"
        "class MineConfig(LlamaConfig):\n    model_type = 'mine'\n"
        "class Mine(LlamaForCausalLM):\n    config_class = MineConfig\n"
    )
    return folder


def test_remote_code_is_refused_unless_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))
    folder = remote(tmp_path / "mine")
    (error,) = ask_all(dr.Transformers(folder, temperature=0, max_tokens=8, threads=1), PROMPTS[:1])
    assert isinstance(error, PermanentCallError)
    assert "trust_remote_code" in str(error)
    trusted = dr.Transformers(folder, temperature=0, max_tokens=8, threads=1, trust_remote_code=True)
    assert texts(ask_all(trusted, PROMPTS[:1])) == texts(ask_all(greedy(), PROMPTS[:1]))


# Thoughts


OPENS = "{% for m in messages %}{{ m['content'] }}\n{% endfor %}<think>\n"


def test_thoughts_that_the_template_opens_and_the_limit_cuts_are_no_answer() -> None:
    (done,) = ask_all(greedy(chat_template=OPENS), ["tell me about tea"])
    (plain,) = ask_all(greedy(chat_template=OPENS.removesuffix("<think>\n")), ["tell me about tea"])
    assert (done.text, done.finish) == ("", "length")
    assert json.loads(done.extra)["reasoning"]
    assert plain.text
    with dr.Session(None, progress=False):
        df = dr.frame({"t": ["tea"]}).prompt(greedy(chat_template=OPENS), "{t}", on_error="null", reasoning="thoughts")
        assert df.collect()["thoughts"].str.len_chars().to_list() > [0], "as far as they came"
        assert df.failures()["error"].to_list() == ["TruncatedError"]


def test_json_that_is_decoded_under_a_schema_is_no_thought() -> None:
    (done,) = ask_all(greedy(chat_template=OPENS, max_tokens=40), ["is tea good?"], json_schema=schema(bool))
    assert done.text in ('{"answer": true}', '{"answer": false}')
