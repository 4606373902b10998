"""A column of vectors as a map: the two directions in which they differ most."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import polars as pl

from dreamframe.errors import MissingExtraError, SettingError
from dreamframe.session.page.cells import cell, kind_of
from dreamframe.session.page.folder import Held

if TYPE_CHECKING:
    import numpy as np

MOST_POINTS = 4_000  # of a larger output, every k-th row
ROUNDS = 20  # of the iteration: enough for a picture
SAID = 120  # characters of the text that tells what a point is


def vector_columns(schema: Mapping[str, pl.DataType]) -> list[str]:
    """The columns that can be drawn."""
    return [c for c, dtype in schema.items() if kind_of(dtype) == "vector" or (isinstance(dtype, pl.List) and dtype.inner.is_float())]


def vector_map(held: Held, name: str, column: str, by: str = "") -> dict[str, Any]:
    """Two numbers for each row of a sample, the share of the whole spread that they show, and what the points are. `by`: the column to colour them by."""
    table = held.rows(name)
    able = vector_columns(table.schema)
    if column not in able:
        raise SettingError(f"{column[:80]!r} is not a column of vectors; there are {', '.join(map(repr, able)) or 'none'}")
    every = max(1, -(-table.height // MOST_POINTS))
    rows = table.with_row_index("#row").gather_every(every).filter(pl.col(column).is_not_null())
    places, share = held.once(("map", name, held.version(name), column), lambda: flat(rows.get_column(column)))
    said = next((c for c, dtype in table.schema.items() if dtype == pl.String), None)
    return {
        "points": places,
        "at": rows.get_column("#row").to_list(),
        "share": share,
        "every": every,
        "said": [] if said is None else [None if v is None else v[:SAID] for v in rows.get_column(said).to_list()],
        "by": [cell(v) for v in rows.get_column(by).to_list()] if by in table.columns else [],
        "by_kind": kind_of(table.schema[by]) if by in table.columns else "",
    }


def flat(vectors: pl.Series) -> tuple[list[list[float]], float]:
    """Principal components: of (n, dim) numbers, (n, 2) and the share of the variance in them.

    >>> places, share = flat(pl.Series([[0.0, 0.0, 1.0], [3.0, 4.0, 1.0]], dtype=pl.Array(pl.Float32, 3)))
    >>> [round(abs(x), 3) for x, _ in places], round(share, 3)
    ([2.5, 2.5], 1.0)
    """
    try:
        import numpy as np
    except ImportError as exc:
        raise MissingExtraError("numpy", extra=None, needed_for="the map") from exc
    held = vectors.to_list()
    dim = max((len(v) for v in held), default=0)
    points = np.array([v if len(v) == dim and None not in v else [0.0] * dim for v in held], dtype=np.float32).reshape(len(held), dim)
    points = np.nan_to_num(points, nan=0.0, posinf=0.0, neginf=0.0)
    points -= points.mean(axis=0, keepdims=True) if len(held) else 0.0
    axes = _axes(points)
    places = points @ axes
    whole = float((points**2).sum())
    padded = np.zeros((len(held), 2), dtype=np.float32)
    padded[:, : places.shape[1]] = places
    return [[round(float(x), 5), round(float(y), 5)] for x, y in padded], float((places**2).sum()) / whole if whole else 0.0


def _axes(points: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The two first principal axes, (dim, 2), by orthogonal iteration: no matrix of dim × dim is made."""
    import numpy as np

    k = min(2, *points.shape)
    axes, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((points.shape[1], k)).astype(np.float32))
    for _ in range(ROUNDS if k else 0):
        axes, _ = np.linalg.qr(points.T @ (points @ axes))
    if k == 2 and (np.square(points @ axes).sum(axis=0) @ [1, -1]) < 0:
        axes = axes[:, ::-1]
    return axes
