"""What a training can start from: weights on this machine, of an architecture that the trainer can train; the right trainer is named for others."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dreamframe.errors import SettingError
from dreamframe.models.base import Artefact, ModelSettings
from dreamframe.models.edges import Trained, as_edge
from dreamframe.models.local.weights import weights_path
from dreamframe.models.pinned import OfWeights
from dreamframe.trainers import kinds
from dreamframe.trainers.base import Chained
from dreamframe.trainers.kinds import Kind
from dreamframe.trainers.weights import Located

IN_TWO_PARTS = {  # model types with an encoder and a decoder, whose configs do not all say so
    *("t5", "mt5", "umt5", "longt5", "switch_transformers", "t5gemma", "bart", "mbart", "pegasus", "pegasus_x", "bigbird_pegasus", "marian", "led"),
    *("m2m_100", "nllb-moe", "blenderbot", "blenderbot-small", "prophetnet", "fsmt", "plbart", "encoder-decoder"),
}
ENCODERS = {
    *("bert", "distilbert", "roberta", "albert", "electra", "deberta", "deberta-v2", "mpnet", "xlm-roberta", "xlm-roberta-xl", "camembert", "modernbert"),
    *("eurobert", "nomic_bert", "mobilebert", "squeezebert", "funnel", "longformer", "ernie", "convbert"),
}
HEADS = ("ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering", "ForMultipleChoice")  # in the place of the head that writes words


def refuse_no_weights(value: Any, who: str, *, name: str = "base") -> None:
    """Raise SettingError for what holds no weights that could be trained here: a model behind an API, or something that is not a model."""
    held = as_edge(value)
    if isinstance(held, Trained):
        if held.step.trainer.kind is kinds.HOSTED:
            raise SettingError(f"{who}: {name}= is a model of {held.step.trainer.label}, which stays with its provider; train it on with that trainer.")
        return
    if isinstance(held, OfWeights | str | Path | Artefact | Chained | Located):
        return
    if isinstance(held, ModelSettings):
        told = f"{type(held).__name__}({held.label!r})"
        if not hasattr(held, "base_url"):
            raise SettingError(f"{who}: {name}={told} has no weights to train. Give a folder, a Hub id, or settings of a model in this process.")
        raise SettingError(
            f"{who}: {name}={told} is behind an API, and {who} trains weights on this machine. Give a folder or a Hub id; "
            "dr.OpenAIFineTune and dr.MistralFineTune let a provider train. To learn from what it says, let it write a column and train dr.SFT on that."
        )
    told = held.__name__ if isinstance(held, type) else type(held).__name__
    made = f"; {told} is a class: give {told}(…)" if isinstance(held, type) else ""
    raise SettingError(f"{who}: {name}={told} is not a model to start from{made}. Give a folder, a Hub id, settings of a local model, or df.train(…).")


def refuse_kind(base: Any, kind: Kind, who: str) -> None:
    """Raise SettingError for a model of the plan whose kind the trainer cannot go on from."""
    held = as_edge(base)
    if isinstance(held, Trained) and held.step.trainer.kind.library == "setfit" and kind.library in ("sentence-transformers", "setfit"):
        raise SettingError(f"{who}: the base is a model of dr.{held.step.trainer.label}, whose last layer tells labels; start from the embedder under it.")
    if isinstance(held, Trained) and kind.writes_text and held.step.trainer.kind.name != kind.name:
        theirs = held.step.trainer
        other = "dr.Seq2Seq" if theirs.kind is kinds.SEQ2SEQ else "dr.SFT" if theirs.kind is kinds.LLM else f"dr.{theirs.label}"
        raise SettingError(f"{who}: the base is a model of dr.{theirs.label}, which makes: {theirs.kind}. {other} trains it on; {who} needs: {kind}.")


def folder_here(base: Any) -> Path | None:
    """The folder of a base that lies on this machine; None for Hub ids, models of the plan and whatever is not a folder."""
    name = base.model if isinstance(base, ModelSettings) else base
    if not isinstance(name, str | Path):
        return None
    try:
        path = weights_path(str(name))
    except SettingError:  # it is nowhere, and the training will say so
        return None
    return path if path is not None and path.is_dir() else None


def config_here(base: Any) -> Mapping[str, Any] | None:
    """The config of a base that lies on this machine."""
    folder = folder_here(base)
    return None if folder is None else config_in(folder)


def sentences_here(base: Any) -> str | None:
    """The list of modules of sentence-transformers of a base that lies on this machine, as text."""
    folder = folder_here(base)
    return None if folder is None else sentences_in(folder)


def sentences_in(folder: Path) -> str | None:
    """The same, of a folder; None where it is not a model of that library."""
    file = folder / "modules.json"
    return file.read_text() if file.exists() else None


def config_in(folder: Path) -> Mapping[str, Any] | None:
    """The config in a folder of weights; None where there is none that can be read."""
    try:
        held = json.loads((folder / "config.json").read_text())
    except (OSError, ValueError):
        return None
    return held if isinstance(held, Mapping) else None


def refuse_architecture(config: Mapping[str, Any] | None, kind: Kind, who: str, *, is_new: bool = False) -> None:
    """Raise SettingError for an architecture that a trainer of this kind cannot train, naming the one that can.

    `is_new`: only the architecture counts, since the weights are drawn anew.

    >>> refuse_architecture({"model_type": "t5", "architectures": ["T5ForConditionalGeneration"]}, kinds.LLM, "SFT")
    Traceback (most recent call last):
    dreamframe.errors.SettingError: SFT: the base is an encoder-decoder model (T5ForConditionalGeneration), and SFT trains ...; dr.Seq2Seq trains it.
    """
    if config is None or not kind.writes_text:
        return
    named = str((config.get("architectures") or [config.get("model_type") or ""])[0])
    model_type = str(config.get("model_type") or "")
    in_two = bool(config.get("is_encoder_decoder", model_type in IN_TWO_PARTS))
    if kind is kinds.SEQ2SEQ:
        if named and not in_two:
            other = "dr.Classifier or dr.SentenceTransformerTrainer" if model_type in ENCODERS else "dr.SFT"
            raise SettingError(f"{who}: the base is not an encoder-decoder model ({named}), as T5 and BART are; {other} trains it.")
        return
    if in_two:
        raise SettingError(
            f"{who}: the base is an encoder-decoder model ({named}), and {who} trains models that write on from their prompt; dr.Seq2Seq trains it."
        )
    if named.endswith("ForMaskedLM") or (model_type in ENCODERS and not config.get("is_decoder")):
        raise SettingError(
            f"{who}: the base is an encoder ({named}), which does not write; "
            "dr.Classifier, dr.SentenceTransformerTrainer and dr.CrossEncoderTrainer train such models."
        )
    if named.endswith(HEADS) and not is_new:
        raise SettingError(
            f"{who}: the base tells labels or scores ({named}): it has no head that writes words. Start from the language model that it was made of."
        )
