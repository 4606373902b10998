"""What a run tells at once, since it went another way than was hoped for."""

from __future__ import annotations


class RunWarning(UserWarning):
    """A run took the dearer way that its plan allows: a join was asked pair by pair after all, since a cheaper way of asking did not agree with that.

    What is meant is silenced by `warnings.filterwarnings("ignore", category=dr.RunWarning)`.

    >>> issubclass(dr.RunWarning, UserWarning)
    True
    """
