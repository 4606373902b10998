"""The log of a training as a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from dreamframe.errors import MissingExtraError
from dreamframe.trainers.config_fields import package_folder

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LOSSES = {"loss": "training loss", "eval_loss": "validation loss"}
REWARDS = {"reward": "reward", "eval_reward": "validation reward"}


def curves(metrics: pl.DataFrame, *, title: str) -> Figure:
    """Losses over steps, and rewards in a panel below where there are any."""
    if package_folder("matplotlib") is None:
        raise MissingExtraError("matplotlib", extra="viz", needed_for="model.plot()")
    from matplotlib.figure import Figure

    panels = [names for names in (LOSSES, REWARDS) if any(_line(metrics, n) is not None for n in names)]
    figure = Figure(figsize=(7, 3.2 * max(1, len(panels))), layout="constrained")
    for i, names in enumerate(panels):
        axes: Any = figure.add_subplot(len(panels), 1, i + 1)
        for name, label in names.items():
            if (line := _line(metrics, name)) is not None:
                axes.plot(line["step"], line[name], label=label, marker="o" if line.height < 20 else None, markersize=3)
        axes.set_xlabel("step")
        axes.grid(alpha=0.3)
        axes.legend()
    figure.suptitle(title)
    return figure


def _line(metrics: pl.DataFrame, name: str) -> pl.DataFrame | None:
    """The points of one curve; None where it was not logged."""
    if name not in metrics.columns:
        return None
    line = metrics.select("step", name).drop_nulls()
    return None if line.is_empty() else line
