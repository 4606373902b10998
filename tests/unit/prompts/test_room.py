"""Prompts that show examples or documents leave out what does not fit into what the model reads, counted by its own tokenizer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import pytest

import dreamframe as dr
from dreamframe.errors import SettingError
from dreamframe.models.measure import Measure
from tests.micro import micro_causal, micro_seq2seq
from tests.unit.prompts.asked import asked, failed

SHOTS = [{"en": f"word{i} " * 4, "de": f"wort{i}"} for i in range(12)]
DOCS = dr.frame({"text": [f"rain and tea number {i}, " * 3 for i in range(12)]})
WORDS = dr.testing.WordEmbedder()


@dataclass(frozen=True)
class Reader(dr.testing.Echo):
    """Knows its tokens: words, and so many of them at once."""

    words: int = field(default=100, kw_only=True)
    provider: ClassVar[str] = "reader"

    def measure(self) -> Measure:
        return Measure(self.words, lambda t: len(t.split()), lambda q, p: len(f"{q.system or ''} {p}".split()) + 10)


def few(**settings: Any) -> dr.FewShot:
    return dr.FewShot("Translate.", **{"input": "en", "output": "de", "examples": SHOTS, **settings})


def rag(**settings: Any) -> dr.Rag:
    return dr.Rag(**{"question": "en", "docs": DOCS, "text": "text", "by": WORDS, "k": 12, **settings})


def sent(llm: Any, prompt: Any, row: str = "rain", **settings: Any) -> str:
    with dr.Session(None):
        (kept,) = dr.frame({"en": [row]}).prompt(llm, prompt, keep="prompt", **settings).to_dicts()
    return str(kept["answer_prompt"])


@pytest.mark.parametrize(("prompt", "mark"), [(few(), "Output: wort"), (rag(), "Document: ")], ids=["FewShot", "Rag"])
def test_as_much_is_shown_as_leaves_room_for_the_answer(prompt: Any, mark: str) -> None:
    whole = sent(dr.testing.Echo(), prompt)
    assert whole.count(mark) == 12, "what nobody can count is shown whole"
    shown = {words: sent(Reader(words=words, max_tokens=20), prompt) for words in (60, 80, 100, 4000)}
    for words, text in shown.items():
        assert len(text.split()) + 10 <= words - 20 or words == 4000
    assert shown[4000] == whole
    counts = [shown[words].count(mark) for words in (60, 80, 100)]
    assert 1 <= counts[0] < counts[1] < counts[2] < 12
    lines = shown[80].split("\n")
    assert lines[0] == whole.split("\n")[0], "the first, which are the nearest, stay"


def test_a_longer_answer_and_a_system_prompt_take_room() -> None:
    shown = [sent(Reader(max_tokens=m), few(), system=s).count("wort") for m, s in ((10, None), (40, None), (10, "word " * 30))]
    assert shown[0] > shown[1]
    assert shown[0] > shown[2]


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        (few(min_examples=9), "FewShot: with min_examples=9 .* too much: the model reads 60 tokens with its answer"),
        (rag(min_documents=9), "Rag: with 9 documents .* too much: the model reads 60 tokens with its answer"),
        (few(context=5), "too much: context=5 and the model reads 60"),
    ],
    ids=["FewShot", "Rag", "context"],
)
def test_a_row_without_room_for_what_it_needs_is_a_failed_row(prompt: Any, said: str) -> None:
    with dr.Session(None), pytest.raises(dr.errors.RowsFailedError, match=f"(?s)ContextLengthError.*{said}"):
        dr.frame({"en": ["rain"]}).prompt(Reader(words=60), prompt).collect()


def test_a_limit_of_ones_own_is_counted_by_the_models_tokenizer_where_that_is_here() -> None:
    text = sent(Reader(words=4000), few(context=30))
    assert len(text.split()) <= 30
    assert text.count("wort") == 3
    assert sent(dr.testing.Echo(), few(context=30)).count("wort") < 3, "three characters a token, where it is not"


def test_several_models_are_asked_what_fits_all_of_them() -> None:
    both = dr.Parallel(Reader(words=60), Reader(words=100))
    assert sent(both, few()).count("wort") == sent(Reader(words=60), few()).count("wort")


def test_documents_have_instruction_separator_and_limits() -> None:
    docs = dr.frame({"t": ["a tea", "b tea", "c tea"]})
    made = {"docs": docs, "text": "t", "by": WORDS, "k": 3}
    assert asked({"q": ["tea"]}, dr.Rag("q", **made, instruction="Use these.", max_documents=2, sep="\n--\n")) == [
        "Use these.\n--\n\n--\nDocument: a tea\n--\nDocument: b tea\n--\n\n--\nQuestion: tea"
    ]
    assert asked({"q": ["tea"]}, dr.Rag("q", **made, document_label=None, question_label=None)) == ["a tea\nb tea\nc tea\n\ntea"]
    for wrong in ({"min_documents": 4}, {"max_documents": 0}, {"min_documents": 3, "max_documents": 2}):
        with pytest.raises(SettingError, match="do not go together"):
            dr.Rag("q", **made, **wrong)


NONE_OF_IT = {
    "FewShot": (dr.FewShot(None, input="en", output="de", examples=SHOTS[:1], input_label=None, output_label=None), f"{SHOTS[0]['en']}\nwort0\nrain"),
    "FewShot, empty": (
        dr.FewShot("", input="en", output="de", examples=SHOTS[:1], input_label="", output_label="So:"),
        f"{SHOTS[0]['en']}\nSo: wort0\nrain\nSo:",
    ),
    "Instruct": (dr.Instruct("Translate.", input="en", input_label=None, instruction_label=None), "rain\n\nTranslate."),
    "Instruct, empty": (dr.Instruct("Translate.", input="en", input_label=""), "rain\n\nInstruction: Translate."),
}


@pytest.mark.parametrize("name", NONE_OF_IT)
def test_a_label_or_an_instruction_that_is_none_is_not_sent(name: str) -> None:
    prompt, text = NONE_OF_IT[name]
    assert asked({"en": ["rain"]}, prompt) == [text]


@pytest.mark.parametrize(
    "make",
    [
        lambda: few(input_label=3),
        lambda: dr.FewShot(7, input="en", output="de", examples=SHOTS),
        lambda: rag(question_label=True),
        lambda: dr.Instruct("x", input="en", input_label=1),
        lambda: dr.Instruct(None, input="en"),
    ],
    ids=["label", "instruction", "Rag", "Instruct", "Instruct without one"],
)
def test_what_is_not_a_text_is_refused_where_it_is_written(make: Any) -> None:
    with pytest.raises(SettingError, match=r"is not a text|are texts"):
        make()


def test_the_tokens_of_a_model_behind_an_api_are_not_known_here() -> None:
    for asked_for in (lambda llm: llm.count_tokens("tea"), lambda llm: llm.context_length):
        with pytest.raises(SettingError, match="gpt-4o-mini: its tokenizer is not on this machine"):
            asked_for(dr.OpenAI("gpt-4o-mini", api_key="k"))
    assert (Reader().count_tokens("a cup of tea"), Reader().context_length) == (4, 100)


def test_no_row_fails_where_nothing_is_too_long() -> None:
    assert failed({"en": ["wind", None]}, few()) == {}


def test_what_is_asked_as_before_has_the_keys_that_it_had() -> None:
    docs, rows, echo = dr.frame({"t": ["a"]}), dr.frame({"q": ["x"]}), dr.testing.Echo()
    asked_for = [
        rows.prompt(echo, dr.Rag("q", docs=docs, text="t", by=WORDS, k=1)),
        rows.prompt(echo, dr.FewShot("T.", input="q", output="o", examples=[{"q": "a", "o": "b"}])),
        rows.classify(dr.testing.NamingClassifier(), ["a", "b"], "q"),
    ]
    assert [df.step.key({}) for df in asked_for] == [
        "92be5418fb9f57d36e158fd35235c64b",
        "5c55a0fe4690248836957b60dd4bdaca",
        "2d3f79f4db108b924ed4a10f71b47550",
    ]


@pytest.mark.slow
@pytest.mark.parametrize("prompt", [few(), rag()], ids=["FewShot", "Rag"])
def test_a_model_of_256_tokens_is_asked_what_it_can_read(prompt: Any) -> None:
    llm = dr.Transformers(micro_causal(), temperature=0, max_tokens=8, threads=1)
    assert (llm.context_length, llm.count_tokens("tea") > 0) == (256, True)
    with dr.Session(None) as session:
        (row,) = dr.frame({"en": ["rain"]}).prompt(llm, prompt, keep="prompt").to_dicts()  # 541 of 256 tokens before: a failed row
        n_in = session.usage()["tokens_in"]
    assert 120 < n_in <= 248, "filled, and no more"
    assert row["answer_prompt"].count("\n") >= 3


@pytest.mark.slow
def test_an_encoder_and_decoder_has_its_whole_context_for_the_prompt() -> None:
    measure = dr.Transformers(micro_seq2seq()).measure()
    assert measure is not None
    assert measure.most(100) == measure.context
