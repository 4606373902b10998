"""Chat templates: those of one prompt, as trainers take them, and the refusal of those that show the model no prompt."""

from __future__ import annotations

from typing import Any

import pytest

import dreamframe as dr
from dreamframe.errors import BadRequestError, SettingError, TrainingError
from dreamframe.models.local.chat_template import chat_template, drops_system, lost, template_of, without_clock
from dreamframe.models.local.chat_tokens import prompt_tokens
from dreamframe.models.request import Question
from dreamframe.trainers import chat as trainers_chat
from tests.asking import ask_all, requests, texts
from tests.micro import CHATML, micro_causal, micro_tokenizer

pytestmark = pytest.mark.slow  # torch and transformers are loaded

ALPACA = "### Instruction:\n{{prompt}}\n\n### Response:\n"
WITH_SYSTEM = "<<{{system_prompt}}>>\n[INST] {{prompt}} [/INST]"
IF_SYSTEM = "{% if system_prompt %}S: {{ system_prompt }}\n{% endif %}Q: {{ prompt }}\nA:"


def rendered(template: str, messages: list[dict[str, str]]) -> str:
    made: str = micro_tokenizer().apply_chat_template(messages, chat_template=chat_template(template), tokenize=False, add_generation_prompt=True)
    return made


def said(*turns: tuple[str, str]) -> list[dict[str, str]]:
    return [{"role": role, "content": content} for role, content in turns]


@pytest.mark.parametrize(
    ("template", "messages", "text"),
    [
        pytest.param(ALPACA, said(("user", "tea?")), "### Instruction:\ntea?\n\n### Response:\n", id="prompt"),
        pytest.param("{{ prompt | upper }}!", said(("user", "tea?")), "TEA?!", id="filter"),
        pytest.param(ALPACA, said(("system", "Be brief."), ("user", "tea?")), "Be brief.\n\n### Instruction:\ntea?\n\n### Response:\n", id="system before"),
        pytest.param(WITH_SYSTEM, said(("system", "Be brief."), ("user", "tea?")), "<<Be brief.>>\n[INST] tea? [/INST]", id="system in it"),
        pytest.param(WITH_SYSTEM, said(("user", "tea?")), "<<>>\n[INST] tea? [/INST]", id="no system"),
        pytest.param(IF_SYSTEM, said(("user", "tea?")), "Q: tea?\nA:", id="a system prompt that is not there"),
        pytest.param(
            IF_SYSTEM,
            said(("system", "Be."), ("user", "a"), ("assistant", "b"), ("user", "c")),
            "S: Be.\nQ: a\nA:b<|im_end|>Q: c\nA:",
            id="told once in a chat of several turns",
        ),
        pytest.param("Read these messages: {{prompt}} 100%", said(("user", "tea")), "Read these messages: tea 100%", id="the word outside a tag"),
        pytest.param(CHATML, said(("user", "tea")), "<|im_start|>user\ntea<|im_end|>\n<|im_start|>assistant\n", id="over messages"),
    ],
)
def test_a_template_of_one_prompt_is_one_over_messages(template: str, messages: Any, text: str) -> None:
    assert rendered(template, messages) == text
    assert chat_template(chat_template(template)) == chat_template(template), "wrapped once"


@pytest.mark.parametrize("template", [ALPACA, WITH_SYSTEM, IF_SYSTEM], ids=["prompt", "system prompt", "condition"])
def test_a_model_is_asked_as_a_trainer_teaches_it(template: str) -> None:
    """One piece of code: the trainers' wrapper is what the settings hold."""
    assert trainers_chat.chat_template is chat_template
    llm = dr.Transformers(micro_causal(), chat_template=template, temperature=0, max_tokens=4, threads=1)
    assert llm.chat_template == chat_template(template) == dr.VLLM("x/y", chat_template=template).chat_template
    question = Question(llm=llm, system="Be brief.")
    (request,) = requests(question, ["tea?"])
    tokenizer = micro_tokenizer()
    turns = said(("system", "Be brief."), ("user", "tea?"), ("assistant", "x"))
    taught = tokenizer.apply_chat_template(turns, chat_template=chat_template(template), tokenize=False)
    asked = tokenizer.decode(prompt_tokens(tokenizer, llm.chat_template, request, who="m"))
    assert taught == asked + "x<|im_end|>"


def test_rows_are_asked_with_their_prompts() -> None:
    llm = dr.Transformers(micro_causal(), chat_template=ALPACA, temperature=0, max_tokens=8, threads=1)
    answers = ask_all(llm, ["tell me about tea", "is the lamp warm", "no"])
    assert len({a.n_in for a in answers}) == 3
    assert len(set(texts(answers))) > 1


def test_what_was_answered_without_the_prompt_is_not_found_again() -> None:
    """Such a template once asked every row the same: its key is that of the template as it is used now."""
    assert dr.Transformers(micro_causal(), chat_template=ALPACA).identity_fields()["chat_template"] == chat_template(ALPACA)
    assert dr.Transformers(micro_causal(), chat_template=CHATML).identity_fields()["chat_template"] == CHATML
    plain = dr.SFT("base", chat_template=ALPACA)
    assert plain.key_fields()["chat_template"] == ALPACA, "trainers always wrapped it: their key stays"


# Refused

LOSING = [
    pytest.param("Answer this:", id="nothing read"),
    pytest.param("{{ bos_token }}", id="another name"),
    pytest.param("{{ question }}", id="a name that it is not given"),
    pytest.param("", id="empty"),
    pytest.param(7, id="a number"),
    pytest.param(False, id="a switch"),
]


@pytest.mark.parametrize("template", LOSING)
@pytest.mark.parametrize("make", [dr.Transformers, dr.VLLM])
def test_a_template_that_cannot_show_the_prompt_is_refused_where_it_is_written(make: Any, template: Any) -> None:
    with pytest.raises(SettingError, match="chat_template"):
        make("some/model", chat_template=template)


DROPPED = [
    pytest.param("{% for m in messages %}{{ m['role'] }}{% endfor %}", id="roles alone"),
    pytest.param("{% for m in messages %}{{ m['text'] }}{% endfor %}", id="another field"),
    pytest.param("{% for m in messages %}{% if m['role'] == 'human' %}{{ m['content'] }}{% endif %}{% endfor %}", id="another role"),
    pytest.param("{% if prompt == '' %}{{ prompt }}{% endif %}Go on.", id="a prompt that is only looked at"),
]


@pytest.mark.parametrize("template", DROPPED)
def test_a_template_that_drops_the_prompt_is_refused_before_the_first_call(template: str) -> None:
    with pytest.raises(SettingError, match="leaves out the prompt"):
        dr.frame({"x": ["a", "b"]}).prompt(dr.Transformers(micro_causal(), chat_template=template, threads=1), "{x}", into="y").collect()


@pytest.mark.parametrize("template", DROPPED)
def test_a_trainer_refuses_it_too(template: str) -> None:
    rows = dr.frame({"prompt": ["a", "b"], "completion": ["c", "d"]})
    with pytest.raises(TrainingError, match="leaves out the prompt"):
        rows.train(dr.SFT(str(micro_causal()), chat_template=template, steps=1, batch_size=2, device="cpu")).fit()


def test_a_trainer_refuses_a_template_that_drops_the_answers() -> None:
    rows = dr.frame({"prompt": ["a", "b"], "completion": ["c", "d"]})
    template = "{% for m in messages %}{% if m['role'] == 'user' %}{{ m['content'] }}{% endif %}{% endfor %}"
    with pytest.raises(TrainingError, match="leaves out the answer"):
        rows.train(dr.SFT(str(micro_causal()), chat_template=template, steps=1, batch_size=2, device="cpu")).fit()


def test_a_system_prompt_that_a_template_drops_fails_the_row_and_is_said() -> None:
    template = "{% for m in messages %}{% if m['role'] == 'user' %}{{ m['content'] }}{% endif %}{% endfor %}"
    llm = dr.Transformers(micro_causal(), chat_template=template, temperature=0, max_tokens=2, threads=1)
    (error,) = ask_all(llm, ["x"], system="be brief")
    assert isinstance(error, BadRequestError)
    assert "leaves out the system prompt" in str(error)
    assert texts(ask_all(llm, ["x"])), "without one, nothing is lost"


def test_trying_a_template_is_not_using_it() -> None:
    tokenizer = micro_tokenizer()
    strict = "{% if messages[0]['role'] != 'system' %}{{ raise_exception('system first') }}{% endif %}{{ messages[1]['content'] }}"
    assert template_of(tokenizer, strict, "m") == strict, "what it refuses, it says when it is used"
    assert not lost(tokenizer, "{% for m in messages %}{{ m['content'] | upper }} {% endfor %}", "system", "user")
    assert drops_system(tokenizer, strict), "it reads the second message alone"
    assert not drops_system(tokenizer, CHATML)
    assert not drops_system(tokenizer, None)


def test_a_gguf_file_whose_template_reads_no_messages_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from dreamframe.models.llms import llamacpp
    from tests.micro_gguf import micro_gguf

    real = llamacpp.gguf_header
    monkeypatch.setattr(llamacpp, "gguf_header", lambda path: {**real(path), "tokenizer.chat_template": "### Instruction:\n{{prompt}}"})
    (error,) = ask_all(dr.LlamaCpp(micro_gguf(), threads=1), ["x"])
    assert isinstance(error, SettingError)
    assert "does not read `messages`" in str(error)


TELLS_DAY = "{{ strftime_now('%A %d %B %Y') }} {% for m in messages %}{{ m['content'] }}{% endfor %}"


@pytest.mark.parametrize(
    ("template", "told"),
    [
        (TELLS_DAY, "Friday 26 July 2024 tea"),
        ('{% if strftime_now is defined %}{{ strftime_now ( "%d %b %Y" ) }}{% endif %} {{ messages[0].content }}', "26 Jul 2024 tea"),
        ("{{ date_string or strftime_now('%Y-%m-%d') }} {{ messages[0].content }}", "2024-07-26 tea"),
    ],
)
def test_a_template_tells_the_same_day_always(template: str, told: str) -> None:
    """The day is no part of an answer's key."""
    tokenizer = micro_tokenizer()
    (request,) = requests(Question(llm=dr.Transformers(micro_causal())), ["tea"])
    assert tokenizer.decode(prompt_tokens(tokenizer, template_of(tokenizer, template, "m"), request, who="m")) == told
    assert without_clock(CHATML) == CHATML


def test_a_gguf_files_template_tells_the_same_day_always(monkeypatch: pytest.MonkeyPatch) -> None:
    from dreamframe.models.llms import llamacpp
    from tests.micro_gguf import micro_gguf

    real = llamacpp.gguf_header
    monkeypatch.setattr(llamacpp, "gguf_header", lambda path: {**real(path), "tokenizer.chat_template": TELLS_DAY})
    (done,) = ask_all(dr.LlamaCpp(micro_gguf(), threads=1, max_tokens=2, temperature=0), ["tea"])
    assert done.n_in == len(micro_tokenizer()("Friday 26 July 2024 tea")["input_ids"])
