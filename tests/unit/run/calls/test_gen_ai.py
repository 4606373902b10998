"""Requests and answers in the words of OpenTelemetry's conventions."""

from __future__ import annotations

import json
from typing import Any

import pytest

import dreamframe as dr
from dreamframe.models.request import Completion, Question, Request
from dreamframe.run.calls.gen_ai import answered, asked, said_by, said_to

PICTURE = "data:image/png;base64," + "A" * 5000


@pytest.mark.parametrize(
    ("model", "provider", "server"),
    [
        (dr.OpenAI("m"), "openai", ("api.openai.com", 443)),
        (dr.Mistral("m"), "mistral_ai", ("api.mistral.ai", 443)),
        (dr.Ollama("m", base_url="http://gpu:8080/v1"), "ollama", ("gpu", 8080)),
        (dr.LiteLLM("bedrock/claude"), "aws.bedrock", (None, None)),
        (dr.Parallel(dr.Groq("a"), dr.Groq("b")), "groq", (None, None)),
        (dr.Parallel(dr.Groq("a"), dr.OpenAI("b")), "parallel", (None, None)),
        (dr.testing.Echo(), "echo", (None, None)),
    ],
    ids=lambda value: value.label if hasattr(value, "label") else "",
)
def test_a_provider_has_the_name_of_the_conventions(model: Any, provider: str, server: tuple[str | None, int | None]):
    made = asked(Question(llm=model), str)
    assert (made["gen_ai.operation.name"], made["gen_ai.provider.name"], made["gen_ai.request.model"]) == ("chat", provider, model.label)
    assert (made.get("server.address"), made.get("server.port")) == server


@pytest.mark.parametrize(("model", "operation"), [(dr.testing.WordEmbedder(), "embeddings"), (dr.testing.NamingClassifier(), "classify")])
def test_what_is_asked_of_a_text_is_named(model: Any, operation: str):
    assert asked(Question(llm=model, form="input"), str)["gen_ai.operation.name"] == operation


def test_an_answer_that_is_held_to_a_schema_is_json():
    assert asked(Question(llm=dr.OpenAI("m"), json_schema="{}"), str)["gen_ai.output.type"] == "json"


def test_a_picture_is_named_and_not_sent():
    parts = [{"type": "text", "text": "What?"}, {"type": "image_url", "image_url": {"url": PICTURE}}, {"type": "image_url", "image_url": {"url": "https://x.org/a.png"}}]
    request = Request(Question(llm=dr.OpenAI("m"), form="messages"), json.dumps([{"role": "user", "content": parts}]), 0, b"k")
    (sent,) = json.loads(str(said_to(request, str)["gen_ai.input.messages"]))
    assert sent["parts"][::2] == [{"type": "text", "content": "What?"}, {"type": "uri", "modality": "image", "uri": "https://x.org/a.png"}]
    assert (sent["parts"][1]["type"], "AAAA" in str(sent)) == ("image_url", False)


def test_an_answer_without_text_is_told_all_the_same():
    refused = Completion(None, finish="content_filter", n_in=3)
    assert answered([refused], is_text=True)["gen_ai.response.finish_reasons"] == ("content_filter",)
    assert json.loads(str(said_by(refused, str)["gen_ai.output.messages"]))[0]["parts"] == [{"type": "text", "content": ""}]
