"""The records that a plan may be made of. A text names them; nothing else of dreamframe, and nothing outside of it, is ever looked up by a name."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Mapping

from dreamframe.errors import PlanFormatError
from dreamframe.names import named

# Beside the public names (names.py): module → classes
MODULES: Mapping[str, tuple[str, ...]] = {
    "measure.metric": ("Metric",),
    "models.request": ("Sampling",),
    "plan.steps.source": ("Table", "ReadTable", "HubTable", "HubStream", "Scan", "KeptScan", "LeftOut"),
    "plan.steps.relational": ("Relational", "Sample", "RepeatTo", "Shard", "SplitPart"),
    "plan.steps.part": ("Part",),
    "plan.steps.apply": ("MapRows", "MapBatches"),
    "plan.steps.prompt": ("PromptStep",),
    "plan.steps.ordinals": ("Ordinals", "NumberedPrompt"),
    "plan.steps.once": ("AskedOnce",),
    "plan.steps.ahead": ("Ahead",),
    "plan.steps.checked": ("DrawChecked", "AskOpen", "Agreement"),
    "plan.steps.pair_ranks": ("PairRanks",),
    "plan.steps.which_apply": ("WhichApply",),
    "plan.steps.converse": ("Converse",),
    "plan.steps.cascade": ("Certify", "Cascaded"),
    "plan.steps.head_guess": ("DrawLearnt", "HeadGuess"),
    "plan.steps.judge": ("Coin", "Judge"),
    "plan.steps.classify": ("Classify",),
    "plan.steps.calibrate": ("Calibrate",),
    "plan.steps.comparison": ("Comparison",),
    "plan.steps.embed": ("Embed", "Similarity"),
    "plan.steps.group": ("DedupLetters", "DedupVectors", "Cluster"),
    "plan.steps.evaluate": ("Evaluate", "Compare"),
    "plan.steps.reduce": ("Reduce",),
    "plan.steps.retrieve": ("SearchGraph", "Retrieve"),
    "plan.steps.strengths": ("Strengths",),
    "plan.steps.until_right": ("PromptUntilRight",),
    "plan.steps.run_code": ("RunCode",),
    "plan.steps.train": ("Train",),
    "plan.steps.until": ("Until",),
    "plan.steps.verify": ("Verify",),
    "plan.steps.first": ("FirstRows",),
    "plan.steps.partners": ("JoinRows",),
    "prompts.base": ("Template",),
    "prompts.pair": ("Pair",),
    "prompts.either_way": ("EitherWay",),
    "prompts.labels": ("WhichLabel",),
    "prompts.verifier": ("Verifier",),
    "prompts.parsers": ("YesNo", "FirstNumber", "Winner"),
    "recipes.backtranslate": ("Backtranslation",),
    "recipes.decompose": ("Decomposition",),
    "recipes.evolve": ("Evolution",),
    "recipes.self_instruct": ("SelfInstruction",),
    "trainers.api": ("Tuned",),
    "testing": ("Echo", "WordEmbedder", "NamingClassifier"),
}
PLACES = {name: module for module, names in MODULES.items() for name in names}


def is_record(cls: type) -> bool:
    """Whether a plan may hold values of exactly this class."""
    return _found(cls.__name__) is cls


def record_class(name: object) -> type:
    """The class that a name stands for. Raises PlanFormatError for any other name."""
    found = _found(name) if isinstance(name, str) else None
    if found is None:
        raise PlanFormatError(f"there is no record {name!r} in this dreamframe; the plan may be of a newer one: pip install -U dreamframe")
    assert dataclasses.is_dataclass(found)
    return found


def _found(name: str) -> type | None:
    found: type | None = getattr(importlib.import_module(f"dreamframe.{PLACES[name]}"), name) if name in PLACES else named(name)
    return found
