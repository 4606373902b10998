"""Multinomial logistic regression on vectors: the same weights for the same rows, without a random number."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]

ENOUGH = 1e-8  # largest entry of the mean gradient at which the loss counts as least
MOST_STEPS, MOST_INNER = 100, 250  # of Newton, and of conjugate gradients within one


class Fitted(NamedTuple):
    """What was fitted, in float64."""

    weight: Matrix  # (classes, dim)
    bias: Matrix  # (classes,)
    loss: float  # mean cross-entropy of the rows, without the penalty
    steps: int  # of Newton's method


def fit(vectors: Matrix, classes: NDArray[np.int64], n_classes: int, *, l2: float = 1.0) -> Fitted:
    """The weights of least `sum of cross-entropies + l2 / 2 · |weight|²`, the bias being free: what scikit-learn finds for C = 1 / l2
    (of two classes for C = 2 / l2: it has one vector for both).

    `vectors` are (rows, dim), `classes` are numbers from 0 to n_classes - 1, each of which occurs. Newton's method over all rows at once, its steps by
    conjugate gradients (Nocedal & Wright 2006, algorithm 7.1), in float64 from zero.

    >>> import numpy as np
    >>> made = fit(np.array([[-1.0], [1.0], [2.0]]), np.array([0, 1, 1]), 2)
    >>> probabilities(made, np.array([[-3.0], [3.0]])).argmax(axis=1).tolist()
    [0, 1]
    """
    import numpy as np

    rows = np.hstack([np.asarray(vectors, np.float64), np.ones((len(vectors), 1))])  # (rows, dim + 1)
    marks = np.eye(n_classes)[classes]  # (rows, classes)
    penalty = np.append(np.full(rows.shape[1] - 1, float(l2)), 0.0)  # (dim + 1,)
    weights = np.zeros((n_classes, rows.shape[1]))
    loss, chances = _loss(weights, rows, marks, penalty)
    steps = 0
    while steps < MOST_STEPS:
        gradient = (chances - marks).T @ rows + penalty * weights  # (classes, dim + 1)
        if np.abs(gradient).max() <= ENOUGH * len(rows):
            break
        move = _newton_step(gradient, chances, rows, penalty)
        size, slope = 1.0, float((gradient * move).sum())
        while True:
            tried, tried_chances = _loss(weights + size * move, rows, marks, penalty)
            if tried <= loss + 1e-4 * size * slope or size < 1e-10:
                break
            size /= 2
        if not tried < loss:  # nothing is left but rounding
            break
        weights, loss, chances = weights + size * move, tried, tried_chances
        steps += 1
    entropy = float(-np.log(np.maximum(chances[np.arange(len(rows)), classes], 1e-300)).mean())
    return Fitted(weights[:, :-1].copy(), weights[:, -1].copy(), entropy, steps)


def _newton_step(gradient: Matrix, chances: Matrix, rows: Matrix, penalty: Matrix) -> Matrix:
    """Where the loss would be least if it were the parabola that it looks like here, as far as conjugate gradients come."""
    import numpy as np

    def curved(move: Matrix) -> Matrix:
        """The Hessian times a move (classes, dim + 1)."""
        along = rows @ move.T  # (rows, classes)
        bent: Matrix = (chances * (along - (chances * along).sum(axis=1, keepdims=True))).T @ rows + penalty * move
        return bent

    length = float(np.sqrt((gradient**2).sum()))
    enough = min(0.1, length**0.5) * length
    made, left = np.zeros_like(gradient), -gradient
    way, square = left, float((left**2).sum())
    for _ in range(MOST_INNER):
        bent = curved(way)
        curvature = float((way * bent).sum())
        if curvature <= 1e-14 * float((way**2).sum()):
            break
        made = made + square / curvature * way
        left = left - square / curvature * bent
        before, square = square, float((left**2).sum())
        if square**0.5 <= enough:
            break
        way = left + square / before * way
    return made if made.any() else -gradient


def _loss(weights: Matrix, rows: Matrix, marks: Matrix, penalty: Matrix) -> tuple[float, Matrix]:
    """What is to be least, and the probabilities (rows, classes)."""
    import numpy as np

    logits = rows @ weights.T
    logits = logits - logits.max(axis=1, keepdims=True)
    total = np.log(np.exp(logits).sum(axis=1, keepdims=True))
    penalised = float(0.5 * (penalty * weights**2).sum())
    return float((total[:, 0] - (marks * logits).sum(axis=1)).sum()) + penalised, np.exp(logits - total)


def probabilities(head: Fitted, vectors: Matrix) -> Matrix:
    """Of each class for each vector (rows, classes); rows sum to 1, whatever other rows there are."""
    import numpy as np

    logits = np.einsum("nd,kd->nk", np.asarray(vectors, np.float64), head.weight) + head.bias
    logits = logits - logits.max(axis=1, keepdims=True)
    made = np.exp(logits)
    found: Matrix = made / made.sum(axis=1, keepdims=True)
    return found
