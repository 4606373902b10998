"""A request and its answer in OpenTelemetry's words for generative AI: the attributes `gen_ai.*` of spans, as plain values.

https://github.com/open-telemetry/semantic-conventions-genai/blob/main/docs/gen-ai/gen-ai-spans.md
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from dreamframe.models.api.settings import ApiSettings
from dreamframe.models.base import ModelSettings
from dreamframe.models.embedders.base import Embedder
from dreamframe.models.llms.litellm import LiteLLM
from dreamframe.models.parallel import Parallel
from dreamframe.models.request import Completion, Question, Request
from dreamframe.redaction.secret import SecretPart

Value = str | bool | int | float | Sequence[str]
Attributes = dict[str, Value]
PROVIDERS = {  # ours, or LiteLLM's → the conventions' name, where they have another
    "azure": "azure.ai.openai",
    "azure_ai": "azure.ai.inference",
    "bedrock": "aws.bedrock",
    "gemini": "gcp.gemini",
    "mistral": "mistral_ai",
    "vertex_ai": "gcp.vertex_ai",
    "watsonx": "ibm.watsonx.ai",
    "xai": "x_ai",
}
SAMPLING = ("max_tokens", "temperature", "top_p", "seed", "presence_penalty", "frequency_penalty")  # which the conventions call as we do
PORTS = {"http": 80, "https": 443}


def operation(question: Question) -> str:
    """What is asked for: "chat", "embeddings", or "classify" of a task model, for which the conventions have no word."""
    if question.form != "input":
        return "chat"
    return "embeddings" if isinstance(question.llm, Embedder) else "classify"


def asked(question: Question, hides: Callable[[str], str]) -> Attributes:
    """What is known of a request before it leaves, except what it says."""
    llm = question.llm
    assert isinstance(llm, ModelSettings), type(llm)
    made: Attributes = {
        "gen_ai.operation.name": operation(question),
        "gen_ai.provider.name": _provider(llm),
        "gen_ai.request.model": hides(llm.label),
        **_server(llm, hides),
    }
    if isinstance(llm, Embedder):
        return {**made, "gen_ai.embeddings.dimension.count": llm.dim} if llm.length is not None or isinstance(llm, ApiSettings) else made
    given = question.sampling.given()
    made |= {f"gen_ai.request.{name}": given[name] for name in SAMPLING if name in given}
    if "stop" in given:
        made["gen_ai.request.stop_sequences"] = tuple(map(hides, given["stop"]))
    top_k = question.sampling.extras().get("top_k")
    if isinstance(top_k, int | float):
        made["gen_ai.request.top_k"] = float(top_k)
    if question.json_schema is not None:
        made["gen_ai.output.type"] = "json"
    return made


def _provider(llm: ModelSettings) -> str:
    if isinstance(llm, Parallel):
        names = {_provider(part) for part in llm.llms}
        return names.pop() if len(names) == 1 else llm.provider
    name = llm.model.partition("/")[0] if isinstance(llm, LiteLLM) and "/" in llm.model else llm.provider
    return PROVIDERS.get(name, name)


def _server(llm: ModelSettings, hides: Callable[[str], str]) -> Attributes:
    if not isinstance(llm, ApiSettings) or not llm.endpoint or isinstance(llm.endpoint, SecretPart):
        return {}
    place = urlsplit(llm.endpoint)
    port = place.port or PORTS.get(place.scheme)
    return {"server.address": hides(place.hostname or ""), **({"server.port": port} if port else {})}


def answered(completions: Sequence[Completion], *, is_text: bool) -> Attributes:
    """What came back, except what it says: of one request, or of all texts that travelled in it."""
    first = completions[0]
    made: Attributes = {"gen_ai.usage.input_tokens": sum(c.n_in for c in completions)}
    if first.model:
        made["gen_ai.response.model"] = first.model
    if is_text:
        made["gen_ai.response.finish_reasons"] = (first.finish,)
        made["gen_ai.usage.output_tokens"] = first.n_out
    for name, n in (
        ("cache_read.input_tokens", first.n_cached),
        ("cache_creation.input_tokens", first.n_written),
        ("reasoning.output_tokens", first.n_reasoning),
    ):
        if n:
            made[f"gen_ai.usage.{name}"] = n
    return made


# What is said, for those who ask for it


def said_to(request: Request, hides: Callable[[str], str]) -> Attributes:
    """The messages of a request as JSON. The conventions have no place for the texts of embeddings."""
    if request.question.form == "input":
        return {}
    system = request.question.system
    messages = request.messages()[1 if system else 0 :]
    sent = [{"role": m.get("role", "user"), "parts": _parts(m.get("content"))} for m in messages]
    made: Attributes = {"gen_ai.input.messages": hides(json.dumps(sent, ensure_ascii=False))}
    if system:
        made["gen_ai.system_instructions"] = hides(json.dumps([_text(system)], ensure_ascii=False))
    return made


def said_by(completion: Completion, hides: Callable[[str], str]) -> Attributes:
    """The answer as JSON, its thoughts before it."""
    thoughts = json.loads(completion.extra).get("reasoning") if completion.extra and '"reasoning"' in completion.extra else None
    parts = [{"type": "reasoning", "content": thoughts}] if thoughts else []
    message = {"role": "assistant", "parts": [*parts, _text(completion.text or "")], "finish_reason": completion.finish}
    return {"gen_ai.output.messages": hides(json.dumps([message], ensure_ascii=False))}


def _parts(content: Any) -> list[Mapping[str, Any]]:
    if not isinstance(content, list):
        return [_text("" if content is None else str(content))]
    return [_part(part) if isinstance(part, Mapping) else _text(str(part)) for part in content]


def _part(part: Mapping[str, Any]) -> Mapping[str, Any]:
    if part.get("type") == "text":
        return _text(str(part.get("text", "")))
    url = part["image_url"].get("url", "") if isinstance(part.get("image_url"), Mapping) else ""
    if url.startswith(("http://", "https://")):
        return {"type": "uri", "modality": "image", "uri": url}
    return {"type": str(part.get("type", "part")), "n_characters": len(json.dumps(part, default=str))}  # a picture of megabytes is named, not sent


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "content": text}
