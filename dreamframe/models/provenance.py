"""Provenance: what a thing that had a hand in the rows is called, under which licence it comes, and how to cite it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from dreamframe.models.papers import short_name

UNKNOWN = None


@dataclass(frozen=True)
class Provenance:
    """A model, data set or technique of a plan. What is not known is None and stays so on the card: nothing is guessed.

    >>> Provenance("dataset", "org/name", revision="a1b2c3", license="cc-by-4.0").license
    'cc-by-4.0'
    """

    kind: str  # model, dataset, technique
    name: str
    revision: str | None = None  # a commit of the Hub
    license: str | None = None  # the Hub's identifier, in lower case: apache-2.0, cc-by-nc-4.0, …
    citation: str | None = None
    url: str | None = None
    terms: str | None = None  # where a provider's terms stand, if they restrict what may be made of its outputs
    is_on_hub: bool = False  # whether `name` is a repository of the Hub


# Models whose licence is published with them: pattern of the name → licence, citation. The most specific first.
MODELS: tuple[tuple[str, str, str | None], ...] = (
    (r"smollm2", "apache-2.0", "https://arxiv.org/abs/2502.02737"),
    (r"all-minilm-l6-v2", "apache-2.0", "https://arxiv.org/abs/1908.10084"),
    (r"(sentence-transformers/)?(all|paraphrase)-mpnet-base-v2", "apache-2.0", "https://arxiv.org/abs/1908.10084"),
    (r"google(-t5)?/(flan-)?t5-.*|google-t5/t5-.*", "apache-2.0", "https://arxiv.org/abs/1910.10683"),
    (r"(openai-community/)?gpt2(-medium|-large|-xl)?", "mit", None),
    (r"(distilbert/)?distilgpt2|(distilbert/)?distilbert-base-uncased", "apache-2.0", "https://arxiv.org/abs/1910.01108"),
    (r"(google-bert/)?bert-base-(un)?cased", "apache-2.0", "https://arxiv.org/abs/1810.04805"),
    (r"(facebookai/)?roberta-(base|large)", "mit", "https://arxiv.org/abs/1907.11692"),
    (r"tinyllama/.*", "apache-2.0", "https://arxiv.org/abs/2401.02385"),
    (r"mistralai/mi[sx]tral-(7b|8x7b)-.*", "apache-2.0", None),
    (r"meta-llama/llama-2-.*", "llama2", "https://arxiv.org/abs/2307.09288"),
    (r"meta-llama/meta-llama-3-.*", "llama3", "https://arxiv.org/abs/2407.21783"),
    (r"meta-llama/(meta-)?llama-3\.1-.*", "llama3.1", "https://arxiv.org/abs/2407.21783"),
    (r"meta-llama/llama-3\.2-.*", "llama3.2", None),
    (r"google/gemma-.*", "gemma", None),
)
ON_THE_HUB = {"SmolLM2-135M-Instruct": "HuggingFaceTB/SmolLM2-135M-Instruct", "all-MiniLM-L6-v2": "sentence-transformers/all-MiniLM-L6-v2"}  # the embedded ones
TERMS = {  # providers whose terms restrict training competing models on what their models wrote
    "openai": "https://openai.com/policies/",
    "azure": "https://www.microsoft.com/licensing/terms",
    "anthropic": "https://www.anthropic.com/legal/commercial-terms",
    "gemini": "https://ai.google.dev/gemini-api/terms",
}
SERVED_BY = {"google": "gemini"}  # what routers call them


def model_provenance(name: str, *, provider: str = "", is_hosted: bool = False, revision: str | None = None) -> Provenance:
    """What is known of a model by its name and by who serves it.

    >>> model_provenance("SmolLM2-135M-Instruct", provider="llamacpp").license
    'apache-2.0'
    >>> model_provenance("gpt-4o", provider="openai").terms
    'https://openai.com/policies/'
    """
    router, _, rest = name.partition("/")
    served = provider if provider in TERMS else SERVED_BY.get(router, router) if is_hosted and rest else ""
    terms = TERMS.get(served)
    known = next(((lic, cite) for pattern, lic, cite in MODELS if re.match(pattern, name, re.IGNORECASE)), None) if terms is None else None
    on_hub = provider in ("transformers", "vllm", "sentence-transformers", "hf-classifier", "hf", "trainer") and is_repo_id(name)
    url = f"https://huggingface.co/{ON_THE_HUB.get(name, name)}" if on_hub or name in ON_THE_HUB else None
    licence, citation = known if known is not None else (UNKNOWN, None)
    return Provenance("model", name, revision=revision, license=licence, citation=citation, url=url, terms=terms, is_on_hub=on_hub)


def is_repo_id(name: str) -> bool:
    """Whether a name has the form of a Hub repository's: owner/name."""
    return re.fullmatch(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", name, re.ASCII) is not None and ".." not in name and "--" not in name


def technique(cite: str) -> Provenance:
    """A paper as `cites` names it: its title and address, or its address alone.

    >>> technique("DPO (Rafailov et al. 2023) https://arxiv.org/abs/2305.18290").name
    'DPO (Rafailov et al. 2023)'
    >>> technique("https://arxiv.org/abs/2106.09685").name
    'LoRA (Hu et al. 2021)'
    """
    title, _, address = cite.rpartition(" ")
    url = f"https://arxiv.org/abs/{address[6:]}" if address.startswith("arXiv:") else address
    return Provenance("technique", title or short_name(url) or url, citation=url, url=url)


def once(found: Iterable[Provenance]) -> list[Provenance]:
    """Each provenance once, in order of appearance; one that knows more takes the place of one of the same name that knows less."""
    kept: dict[tuple[str, str, str | None], Provenance] = {}
    for p in found:
        key = (p.kind, p.name, p.revision)
        if key not in kept or (kept[key].license is None and p.license is not None):
            kept[key] = p
    return list(kept.values())
