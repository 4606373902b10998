"""A script that torchrun or srun starts once for each process: `launched.py BASE SESSION REPORTS`. Leaves what its rank was given in REPORTS."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import dreamframe as dr
from dreamframe.errors import RunError
from tests.two_processes import SHARED, shared_rows


def main(base: str, folder: str, reports: str) -> None:
    rows = dr.frame(shared_rows()).prompt(dr.testing.Echo(), "no {prompt}", into="completion")
    with dr.Session(folder) as session:
        seen = rows.collect()
        model = rows.train(dr.SFT(base, **SHARED))
        told = {"rows": seen.to_dicts(), "path": str(model.path), "processes": model.summary()["processes"]}
        try:
            dr.frame({"t": ["tea"]}).prompt(dr.testing.Failing(), "{t}", into="said").collect()
        except RunError as exc:
            told["error"] = str(exc)
        told["calls"] = session.usage()["calls"]
    (Path(reports) / f"{os.environ.get('RANK', os.environ.get('SLURM_PROCID'))}.json").write_text(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
