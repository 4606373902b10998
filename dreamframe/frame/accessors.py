"""`df.dream` of polars and pandas frames: all verbs, on their rows."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

import polars as pl

from dreamframe.frame.frame import Frame, frame


class Dream:
    """The accessor `df.dream` of polars frames: all dreamframe verbs, on these rows."""

    def __new__(cls, data: pl.DataFrame | pl.LazyFrame) -> Frame:  # type: ignore[misc]
        return frame(data)


class Forgotten:
    """`df.prompt` of polars frames, as people write who forget `.dream`: it says where the verb is. Frames of pandas have columns as attributes, so that a
    name of ours there would hide one of theirs."""

    def __init__(self, data: pl.DataFrame | pl.LazyFrame) -> None:
        """Looks at nothing: asking whether there is such a name is no mistake."""

    def __call__(self, *_: object, **__: object) -> Frame:
        """Raise AttributeError."""
        raise AttributeError("a polars frame has no 'prompt'. Write df.dream.prompt(...), or dr.frame(df).prompt(...).")


class WithPandas:
    """Waits for the import of pandas, which costs too much to be made here, and gives its frames the accessor."""

    is_looking = False

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:  # noqa: ARG002
        if name != "pandas" or self.is_looking:
            return None
        self.is_looking = True
        try:
            found = importlib.util.find_spec(name)
        finally:
            self.is_looking = False
        if found is not None and found.loader is not None:  # it may be looked for, and not imported
            run = found.loader.exec_module

            def run_and_register(module: ModuleType) -> None:
                run(module)
                if self in sys.meta_path:
                    sys.meta_path.remove(self)
                _register(module)

            found.loader.exec_module = run_and_register  # type: ignore[method-assign]
        return found


def _register(pandas: ModuleType) -> None:
    if hasattr(pandas, "api"):
        pandas.api.extensions.register_dataframe_accessor("dream")(frame)
        pandas.api.extensions.register_series_accessor("dream")(frame)


def register_accessors() -> None:
    """Give the frames of polars and pandas `.dream`, whichever of them was imported first."""
    pl.api.register_dataframe_namespace("dream")(Dream)
    pl.api.register_lazyframe_namespace("dream")(Dream)
    pl.api.register_dataframe_namespace("prompt")(Forgotten)
    pl.api.register_lazyframe_namespace("prompt")(Forgotten)
    if "pandas" in sys.modules:
        _register(sys.modules["pandas"])
    elif not any(isinstance(finder, WithPandas) for finder in sys.meta_path):
        sys.meta_path.insert(0, WithPandas())
