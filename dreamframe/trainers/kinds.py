"""What a training makes: how cards call it, what loads it, and which adapters of it are trained on. A new kind is one value, here or beside its trainer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

Use = Callable[[str, str | None], str]  # repository, and the base where that repository is an adapter → Python


@dataclass(frozen=True)
class Kind:
    """What a training makes.

    >>> REWARD.library_of(is_adapter=True)
    'peft'
    """

    name: str  # in records of trainings
    use: Use  # the code with which a model card shows how it is used
    ask: Use | None = None  # the same with dreamframe
    library: str | None = "transformers"  # the Hub's word for what loads it
    library_of_adapter: str | None = "peft"
    pipeline_tag: str | None = None  # the Hub's word for what it does
    adapter_task: str | None = None  # peft's word for the adapters that are trained on; others are laid into their weights first
    writes_text: bool = False  # whether dr.Transformers can ask it
    reads_text: bool = False  # whether the Hub's widget can show a text to try

    def __str__(self) -> str:
        return self.name

    def library_of(self, *, is_adapter: bool) -> str | None:
        """The library that loads it."""
        return self.library_of_adapter if is_adapter else self.library


def asked(repo: str, base: str | None) -> str:
    """A language model, asked with dreamframe."""
    weights = f'"{repo}"' if base is None else f'"{base}", adapter="{repo}"'
    return f'import dreamframe as dr\n\nllm = dr.Transformers({weights})\nprint(dr.frame({{"q": ["…"]}}).prompt(llm, "{{q}}").collect())'


def classified(name: str) -> Use:
    """A task model of this class, asked with dreamframe."""

    def use(repo: str, base: str | None) -> str:
        weights = f'"{repo}"' if base is None else f'"{base}", adapter="{repo}"'
        asks = f"model = dr.{name}({weights})\nprint(dr.frame({{\"text\": [\"…\"]}}).classify(model, None, \"text\").collect())"
        return f"import dreamframe as dr\n\n{asks}"

    return use


def embedded(repo: str, base: str | None) -> str:  # noqa: ARG001  it finds the base
    """An embedder, asked with dreamframe."""
    asks = f'model = dr.SentenceTransformer("{repo}")\nprint(dr.frame({{"text": ["…"]}}).embed(model, "text").collect())'
    return f"import dreamframe as dr\n\n{asks}"


def talked_to(repo: str, base: str | None) -> str:
    """A language model, asked with transformers alone, or with peft over its base."""
    if base is None:
        chat = '[{"role": "user", "content": "…"}]'
        asks = f'ask = pipeline("text-generation", model="{repo}")\nprint(ask({chat}, return_full_text=False)[0]["generated_text"])'
        return f"from transformers import pipeline\n\n{asks}"
    load = f'model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained("{base}"), "{repo}")'
    chat = 'chat = tokenizer.apply_chat_template([{"role": "user", "content": "…"}], add_generation_prompt=True, return_tensors="pt", return_dict=True)'
    asks = 'print(tokenizer.decode(model.generate(**chat, max_new_tokens=100)[0], skip_special_tokens=True))'
    tokenizer = f'tokenizer = AutoTokenizer.from_pretrained("{repo}")'
    return f"from peft import PeftModel\nfrom transformers import AutoModelForCausalLM, AutoTokenizer\n\n{load}\n{tokenizer}\n{chat}\n{asks}"


def loaded(auto: str) -> Use:
    """Weights, or an adapter, loaded with an Auto class of transformers or peft: "ModelForSeq2SeqLM"."""

    def use(repo: str, base: str | None) -> str:
        package, name = ("transformers", f"Auto{auto}") if base is None else ("peft", f"AutoPeft{auto}")
        load = f'model = {name}.from_pretrained("{repo}")\ntokenizer = AutoTokenizer.from_pretrained("{repo}")'
        return f"from {package} import {name}\nfrom transformers import AutoTokenizer\n\n{load}"

    return use


def of_sentences(name: str, call: str = 'model.encode(["…"])') -> Use:
    """A class of sentence-transformers, and a call of it."""
    return lambda repo, base: f'from sentence_transformers import {name}\n\nmodel = {name}("{repo}")\nprint({call})'  # noqa: ARG005  it finds the base


LLM = Kind("llm", talked_to, asked, pipeline_tag="text-generation", adapter_task="CAUSAL_LM", writes_text=True, reads_text=True)
SEQ2SEQ = Kind("seq2seq", loaded("ModelForSeq2SeqLM"), asked, adapter_task="SEQ_2_SEQ_LM", writes_text=True, reads_text=True)
OF_SEQUENCES = loaded("ModelForSequenceClassification")
CLASSIFIER = Kind("classifier", OF_SEQUENCES, classified("HFClassifier"), pipeline_tag="text-classification", reads_text=True)
REWARD = Kind("reward", OF_SEQUENCES, classified("RewardModel"), pipeline_tag="text-classification", adapter_task="SEQ_CLS")
SENTENCES = "sentence-transformers"
EMBEDDER = Kind("embedder", of_sentences("SentenceTransformer"), embedded, SENTENCES, SENTENCES, pipeline_tag="sentence-similarity")
SPARSE_EMBEDDER = Kind("sparse_embedder", of_sentences("SparseEncoder"), None, SENTENCES, SENTENCES, pipeline_tag="feature-extraction")
CROSS_ENCODER = Kind("cross_encoder", of_sentences("CrossEncoder", 'model.predict([("…", "…")])'), None, SENTENCES, SENTENCES, pipeline_tag="text-ranking")
HOSTED = Kind("api", lambda repo, base: "# The model stays with its provider; ask it with model.llm().", None, None, None)  # noqa: ARG005  nothing is loaded
