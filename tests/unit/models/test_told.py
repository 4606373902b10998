"""What `help` tells of classes of settings: every setting that a user can give, with its default and what it means, and nothing else."""

from __future__ import annotations

import inspect
import subprocess
import sys
from dataclasses import dataclass, fields

import pytest

import dreamframe as dr

KINDS = [dr.SFT, dr.DPO, dr.GRPO, dr.OpenAIFineTune, dr.OpenAI, dr.Anthropic, dr.Groq, dr.Transformers, dr.LlamaCpp, dr.FunctionLLM, dr.Tool, dr.Mcp]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_help_tells_every_setting_with_its_default_and_its_meaning(kind: type):
    written, _, settings = (inspect.getdoc(kind) or "").partition("\nSettings, with their defaults:\n\n")
    lines = settings.splitlines()
    told = {line.strip().partition(":")[0]: (line, below) for line, below in zip(lines[::2], lines[1::2], strict=True)}
    assert sorted(told) == sorted(set(inspect.signature(kind).parameters))
    for f in fields(kind):
        if f.name in told and f.kw_only:
            assert told[f.name][0].endswith(f" = {f.default!r}")
    assert all(below.startswith("      ") and below.strip() for _, below in told.values())
    assert ">>> " in written


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_the_signature_shows_what_users_give(kind: type):
    assert list(inspect.signature(kind).parameters) == [f.name for f in sorted(fields(kind), key=lambda f: f.kw_only) if f.init and f.name != "authority"]


def test_a_trainer_of_ones_own_has_a_signature_of_its_own():
    @dataclass(frozen=True)
    class Mine(dr.Trainer):
        shots: int = 3

    assert list(inspect.signature(Mine).parameters) == ["base", "shots"]
    with pytest.raises(TypeError, match="not a callable"):
        inspect.signature(dr.OpenAI("gpt-4o-mini"))


def test_nothing_is_parsed_before_somebody_reads_the_documentation():
    code = "import dreamframe as dr; from dreamframe.models.told import settings_text as told; dr.SFT, dr.OpenAI, dir(dr); print(told.cache_info().currsize)"
    code += "; dr.SFT.__doc__; print(told.cache_info().currsize)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "0\n1\n"
