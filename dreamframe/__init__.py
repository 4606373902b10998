"""dreamframe: a lazy, immutable dataframe whose columns may be written by language models, and whose last verb may train one."""

from __future__ import annotations

import gc as _gc
from collections.abc import Iterator as _Iterator
from contextlib import contextmanager as _contextmanager
from importlib import import_module as _import_module
from types import FunctionType as _Function
from typing import TYPE_CHECKING, Any


@_contextmanager
def _no_looks() -> _Iterator[None]:
    """Import without looks for cycles: it makes classes and throws nothing away, and thirty looks would be a tenth of its time."""
    if not _gc.isenabled():
        yield
        return
    _gc.disable()
    try:
        yield
    finally:
        if not _gc.get_freeze_count():  # nothing of the user's would thaw: what was imported is old from now on, and no look at what is new goes over it
            _gc.freeze()
            _gc.unfreeze()
        _gc.enable()


with _no_looks():
    from dreamframe import errors as errors
    from dreamframe.frame.accessors import register_accessors as _register_accessors
    from dreamframe.frame.ask import prompt as prompt
    from dreamframe.frame.frame import Frame as Frame
    from dreamframe.frame.frame import concat as concat
    from dreamframe.frame.frame import frame as frame
    from dreamframe.frame.frame import generate as generate
    from dreamframe.frame.frame import grid as grid
    from dreamframe.frame.frame import scan_csv as scan_csv
    from dreamframe.frame.frame import scan_ipc as scan_ipc
    from dreamframe.frame.frame import scan_json as scan_json
    from dreamframe.frame.frame import scan_ndjson as scan_ndjson
    from dreamframe.frame.frame import scan_parquet as scan_parquet
    from dreamframe.frame.frame import scan_text as scan_text
    from dreamframe.frame.from_json import from_json as from_json
    from dreamframe.frame.habits import no_name as _no_name
    from dreamframe.frame.model import Model as Model
    from dreamframe.frame.output import collect_all as collect_all
    from dreamframe.frame.plan_warnings import PlanWarning as PlanWarning
    from dreamframe.frame.read import scan_database as scan_database
    from dreamframe.frame.read import scan_delta as scan_delta
    from dreamframe.frame.read import scan_excel as scan_excel
    from dreamframe.frame.tracebacks import short as _short
    from dreamframe.frame.tracebacks import short_in as _short_in
    from dreamframe.frame.tracebacks import short_when_made as _short_when_made
    from dreamframe.frame.vectors import embed as embed
    from dreamframe.frame.vectors import similarity as similarity
    from dreamframe.identity.fingerprint import versioned as versioned
    from dreamframe.models.llms.names import llm as llm
    from dreamframe.models.local import advice as _advice  # noqa: F401  before other libraries give it
    from dreamframe.models.told import told as _told
    from dreamframe.names import BASES as _BASES
    from dreamframe.names import named as _named
    from dreamframe.names import public_names as _public_names
    from dreamframe.run.active import open_with as _open_with
    from dreamframe.run.warning import RunWarning as RunWarning

if TYPE_CHECKING:
    from dreamframe import recipes as recipes
    from dreamframe import testing as testing
    from dreamframe.frame.comparison import compare as compare
    from dreamframe.frame.hub import from_hub as from_hub
    from dreamframe.frame.hub import scan_hf_disk as scan_hf_disk
    from dreamframe.frame.hub import scan_hub as scan_hub
    from dreamframe.frame.report import Report as Report
    from dreamframe.measure import metrics as metrics
    from dreamframe.models.base import LLM as LLM
    from dreamframe.models.embedders.base import Embedder as Embedder
    from dreamframe.models.embedders.llamacpp import LlamaCppEmbedder as LlamaCppEmbedder
    from dreamframe.models.embedders.minilm import MiniLM as MiniLM
    from dreamframe.models.embedders.openai import OpenAIEmbedder as OpenAIEmbedder
    from dreamframe.models.embedders.sentence_transformers import SentenceTransformer as SentenceTransformer
    from dreamframe.models.function import FunctionLLM as FunctionLLM
    from dreamframe.models.llms.anthropic import Anthropic as Anthropic
    from dreamframe.models.llms.compatible import *  # noqa: F403  each preset under its own name
    from dreamframe.models.llms.litellm import LiteLLM as LiteLLM
    from dreamframe.models.llms.llamacpp import LlamaCpp as LlamaCpp
    from dreamframe.models.llms.mistral import Mistral as Mistral
    from dreamframe.models.llms.openai import OpenAI as OpenAI
    from dreamframe.models.llms.smollm2 import SmolLM2 as SmolLM2
    from dreamframe.models.llms.transformers import Transformers as Transformers
    from dreamframe.models.llms.vllm import VLLM as VLLM
    from dreamframe.models.parallel import Parallel as Parallel
    from dreamframe.models.task_models.base import TaskModel as TaskModel
    from dreamframe.models.task_models.hf import HFClassifier as HFClassifier
    from dreamframe.models.task_models.linear import LinearClassifier as LinearClassifier
    from dreamframe.models.task_models.trained import CrossEncoder as CrossEncoder
    from dreamframe.models.task_models.trained import RewardModel as RewardModel
    from dreamframe.models.task_models.trained import SentenceClassifier as SentenceClassifier
    from dreamframe.models.tools.mcp import Mcp as Mcp
    from dreamframe.models.tools.tool import Tool as Tool
    from dreamframe.plan.record import step as step
    from dreamframe.plan.step import RowStep as RowStep
    from dreamframe.plan.step import Step as Step
    from dreamframe.plan.steps.cascade import Cascade as Cascade
    from dreamframe.plan.steps.distil import Distil as Distil
    from dreamframe.plan.steps.pair_ranks import Nearest as Nearest
    from dreamframe.prompts import verify as verify
    from dreamframe.prompts.attribute import Attribute as Attribute
    from dreamframe.prompts.chat import Chat as Chat
    from dreamframe.prompts.few_shot import FewShot as FewShot
    from dreamframe.prompts.instruct import Instruct as Instruct
    from dreamframe.prompts.jinja import Jinja as Jinja
    from dreamframe.prompts.rag import Rag as Rag
    from dreamframe.run.engines.ray import RayEngine as RayEngine
    from dreamframe.session.session import Session as Session
    from dreamframe.trainers.base import Trainer as Trainer
    from dreamframe.trainers.classifier import Classifier as Classifier
    from dreamframe.trainers.cpo import CPO as CPO
    from dreamframe.trainers.cross_encoder import CrossEncoderTrainer as CrossEncoderTrainer
    from dreamframe.trainers.distill import Distill as Distill
    from dreamframe.trainers.dpo import DPO as DPO
    from dreamframe.trainers.grpo import GRPO as GRPO
    from dreamframe.trainers.kto import KTO as KTO
    from dreamframe.trainers.logistic_regression import LogisticRegression as LogisticRegression
    from dreamframe.trainers.mistral_fine_tune import MistralFineTune as MistralFineTune
    from dreamframe.trainers.openai_fine_tune import OpenAIFineTune as OpenAIFineTune
    from dreamframe.trainers.orpo import ORPO as ORPO
    from dreamframe.trainers.ppo import PPO as PPO
    from dreamframe.trainers.reward import Reward as Reward
    from dreamframe.trainers.rewards import LLMReward as LLMReward
    from dreamframe.trainers.rloo import RLOO as RLOO
    from dreamframe.trainers.sentence_transformer import SentenceTransformerTrainer as SentenceTransformerTrainer
    from dreamframe.trainers.seq2seq import Seq2Seq as Seq2Seq
    from dreamframe.trainers.setfit import SetFit as SetFit
    from dreamframe.trainers.sft import SFT as SFT
    from dreamframe.trainers.sparse_encoder import SparseEncoderTrainer as SparseEncoderTrainer

__version__ = "0.1.0"
_LATE = {  # names that are found when they are first used, like those of models: with them, importing this package would take twice as long
    "Session": "session.session",
    "RayEngine": "run.engines.ray",
    "Report": "frame.report",
    "compare": "frame.comparison",
    "from_hub": "frame.hub",
    "metrics": "measure.metrics",
    "verify": "prompts.verify",
    "scan_hf_disk": "frame.hub",
    "scan_hub": "frame.hub",
    "recipes": "recipes",
    "testing": "testing",
}


def _late(name: str) -> Any:
    """What one of the late names stands for; it is at hand from then on."""
    module = _import_module(f"dreamframe.{_LATE[name]}")
    found = getattr(module, name, module)  # a room stands for itself
    if isinstance(found, _Function):
        found = _short(found)
    elif isinstance(found, type):
        found = _short_when_made(_short_in(found))
    for member in getattr(found, "__all__", ()):  # of a room
        if isinstance(function := getattr(found, member), _Function):
            setattr(found, member, _short(function))
    globals()[name] = found
    return found


def _session(folder: Any) -> Any:
    """A session of a folder, for plans that run where none is active."""
    return _late("Session")(folder)


def _found(name: str) -> Any:
    """What a public name stands for; it is at hand from then on."""
    if name in _LATE:
        return _late(name)
    if name in _BASES:
        globals()[name] = base = getattr(_import_module(f"dreamframe.{_BASES[name]}"), name)
        return base
    if (found := _named(name)) is None and isinstance(held := getattr(errors, name, None), type) and issubclass(held, Exception):
        raise AttributeError(f"module 'dreamframe' has no attribute {name!r}: errors are in dr.errors. Write dr.errors.{name}.")
    if found is None:
        raise _no_name(name, __dir__())
    globals()[name] = made = _told(_short_when_made(found))
    return made


if not TYPE_CHECKING:  # with it, type checkers would take every name for one

    def __getattr__(name: str) -> Any:
        if name.startswith("_"):  # asked for by inspect, doctest and pytest, of every module: no near miss is looked for
            raise AttributeError(f"module 'dreamframe' has no attribute {name!r}", name=name)
        with _no_looks():
            return _found(name)


def __dir__() -> list[str]:
    made_here = {n for n, value in globals().items() if not n.startswith("_") and str(getattr(value, "__module__", "")).startswith("dreamframe.")}
    return sorted({"errors", *_LATE, *_BASES, *made_here, *_public_names()})


globals().update({n: _short(f) for n, f in globals().items() if isinstance(f, _Function) and not n.startswith("_")})
_register_accessors()
_open_with(_session)
