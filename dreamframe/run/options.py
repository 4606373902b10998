"""What steers a run, never what it gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from dreamframe.llms.prices import Price

Mode = Literal["calls", "batch"]


@dataclass
class RunOptions:
    """The settings of a session that its runs share."""

    offline: bool = False
    budget: float | None = None  # US dollars that are left
    prices: Mapping[str, Price] = field(default_factory=dict)  # over those that are known here
    mode: Mode = "calls"  # "batch": through the providers' batch APIs, where they have one
    batch_rows: int = 128  # rows that walk through the plan together
    max_models: int | None = None  # models of this process that may be loaded at once; None: as many as memory holds
