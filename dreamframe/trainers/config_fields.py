"""The field names of a training library's config class, read from its source: no import, so a plan can be checked in milliseconds."""

from __future__ import annotations

import ast
import importlib.util
from functools import cache
from pathlib import Path

ELSEWHERE = {  # classes that are imported from a package's top, and where they really stand
    "TrainingArguments": ("transformers", "training_args.py"),
    "TransformersTrainingArguments": ("transformers", "training_args.py"),
}


@cache
def config_fields(config: str) -> frozenset[str] | None:
    """The fields of `package.module:Class` and of its bases, or None where the package is not installed.

    >>> "packing" in (config_fields("trl.trainer.sft_config:SFTConfig") or ["packing"])
    True
    """
    module, name = config.split(":")
    package, *inside = module.split(".")
    root = package_folder(package)
    if root is None:
        return None
    return frozenset(_fields(root.joinpath(*inside).with_suffix(".py"), name))


def package_folder(package: str) -> Path | None:
    """The folder of an installed top-level package, found without importing it."""
    spec = importlib.util.find_spec(package)
    return Path(spec.origin).parent if spec and spec.origin else None


def init_arguments(file: Path, name: str) -> dict[str, str] | None:
    """The arguments of a class's `__init__` after the first one, with their defaults as source text, empty for none. None where it takes any."""
    tree = _parsed(file)
    cls = next((n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == name), None)
    if cls is None:
        elsewhere = _origin(tree, file, name)
        return None if elsewhere == (file, name) else init_arguments(*elsewhere)
    made = next((n for n in cls.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"), None)
    if made is None or made.args.kwarg is not None:
        return None
    named, given = [a.arg for a in made.args.args[2:]], [ast.unparse(d) for d in made.args.defaults]
    return dict(zip(named, [""] * (len(named) - len(given)) + given[-len(named) :], strict=True)) if named else {}


def _fields(file: Path, name: str) -> set[str]:
    tree = _parsed(file)
    cls = next((n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == name), None)
    if cls is None:
        elsewhere = _origin(tree, file, name)  # a package's __init__ names what stands in one of its modules
        return set() if elsewhere == (file, name) else _fields(*elsewhere)
    own = {n.target.id for n in cls.body if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name) and not n.target.id.startswith("_")}
    for base in cls.bases:
        if isinstance(base, ast.Name):
            own |= _fields(*_origin(tree, file, base.id))
    return own


def _origin(tree: ast.Module, file: Path, name: str) -> tuple[Path, str]:
    """Where a name that `file` uses is defined: here, in a module it imports from, or in a package listed in ELSEWHERE."""
    for node in tree.body:
        if not isinstance(node, ast.ImportFrom):
            continue
        for alias in node.names:
            if (alias.asname or alias.name) != name:
                continue
            if name in ELSEWHERE:
                package, inside = ELSEWHERE[name]
                return (package_folder(package) or Path()) / inside, alias.name
            return _module_file(node, file), alias.name
    return file, name


def _module_file(node: ast.ImportFrom, file: Path) -> Path:
    parts = (node.module or "").split(".")
    found = file.parents[node.level - 1].joinpath(*parts) if node.level else (package_folder(parts[0]) or Path()).joinpath(*parts[1:])
    return found / "__init__.py" if found.is_dir() else found.with_suffix(".py")


@cache
def _parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text()) if file.is_file() else ast.Module(body=[], type_ignores=[])
