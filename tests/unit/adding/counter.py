"""A trainer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import polars as pl

from dreamframe.trainers.base import Trainer
from dreamframe.trainers.job import TrainJob
from dreamframe.trainers.roles import Roles


@dataclass(frozen=True)
class Counter(Trainer):
    """Learns how many rows there are."""

    base: Any = None
    ways: ClassVar[tuple[Roles, ...]] = (Roles({"prompt": "text"}),)

    def run(self, job: TrainJob) -> dict[str, Any]:
        (job.out / "n_rows.txt").write_text(str(pl.read_ipc(job.rows).height))
        return {"n_rows": 1}
