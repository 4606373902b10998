"""transformers without its progress bars and its advice, while weights load. Imports transformers: import it on a worker thread only."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from typing import Any

import transformers


@contextlib.contextmanager
def quiet(*modules: Any) -> Iterator[None]:
    """No progress bars and no advice of transformers while weights load; as it was before afterwards. `modules` draw bars past its own switch."""
    log = transformers.utils.logging
    level, bars = log.get_verbosity(), log.is_progress_bar_enabled()
    log.set_verbosity_error()
    log.disable_progress_bar()
    drawn = {module: module.tqdm for module in modules if hasattr(module, "tqdm")}
    for module in drawn:
        module.tqdm = log.tqdm
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=FutureWarning)  # what these libraries tell each other
            yield
    finally:
        for module, bar in drawn.items():
            module.tqdm = bar
        log.set_verbosity(level)
        if bars:
            log.enable_progress_bar()
