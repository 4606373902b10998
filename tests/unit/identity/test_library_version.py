"""Libraries in keys: another version of what a function uses is another function; where nothing says the version, the files do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dreamframe.identity.fingerprint import canonical, fingerprint
from dreamframe.identity.library_version import library_version

ROOT = Path(__file__).resolve().parents[3]
Install = Callable[..., Path]

PROBE = """
import functools, json
from dreamframe.identity.fingerprint import fingerprint
import toylib

def calls(x): return toylib.double(x)
def lazily(x):
    import toylib
    return toylib.double(x)
def by_name(x):
    from toylib import double
    return double(x)
class Mine(toylib.Base):
    def __call__(self, x): return self.go(x)
held = toylib.LIMITS

values = {"an attribute": calls, "imported in the body": lazily, "imported by name in the body": by_name, "the function itself": toylib.double}
values |= {"a base class": Mine, "an object of a class of one's own": Mine(), "its class": toylib.Base, "a record of its own": toylib.Record(1)}
values |= {"a partial": functools.partial(toylib.double, 1), "a method": toylib.Base.go}
print(json.dumps({kind: fingerprint(v) for kind, v in values.items()}))
"""
LIBRARY = """
from dataclasses import dataclass
LIMITS = 3
def double(x): return x * {n}
class Base:
    def go(self, x): return x * {n}
@dataclass(frozen=True)
class Record:
    a: int
"""
KINDS = ("an attribute", "imported in the body", "imported by name in the body", "the function itself", "a base class", "an object of a class of one's own")
KINDS += ("its class", "a record of its own", "a partial", "a method")


@pytest.fixture
def install(tmp_path: Path) -> Install:
    return installer(tmp_path)


def installer(base: Path) -> Install:
    """Lays a library into a folder of libraries as pip does, over what was there."""
    folder = base / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"

    def lay(n: int, *, version: str | None, name: str = "toylib", package: bool = False, origin: str | None = None) -> Path:
        for old in folder.glob("*.dist-info"):
            for file in old.iterdir():
                file.unlink()
            old.rmdir()
        module = folder / "toylib" / "__init__.py" if package else folder / "toylib.py"
        module.parent.mkdir(parents=True, exist_ok=True)
        module.write_text(LIBRARY.format(n=n))
        if version is not None:
            info = folder / f"{name}-{version}.dist-info"
            info.mkdir()
            (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
            (info / "RECORD").write_text(f"{module.relative_to(folder).as_posix()},sha256={n},\n../../../bin/tool,sha256={os.urandom(4).hex()},\n")
            if origin is not None:
                (info / "direct_url.json").write_text(origin)
        return folder

    return lay


def found(folder: Path, kind: str = "an attribute") -> str:
    return all_found(folder)[kind]


def all_found(folder: Path) -> dict[str, str]:
    """Kind → fingerprint, in a new process."""
    env = {**os.environ, "PYTHONUSERBASE": str(folder.parents[2]), "PYTHONPATH": f"{ROOT}{os.pathsep}{folder}", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([sys.executable, "-c", PROBE], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, str]]:
    """Of 1.0, of 2.0, and of 1.0 again."""
    install = installer(tmp_path_factory.mktemp("libraries"))
    return [all_found(install(n, version=version)) for n, version in ((2, "1.0"), (3, "2.0"), (2, "1.0"))]


@pytest.mark.parametrize("kind", KINDS)
def test_another_version_of_a_library_misses(kind: str, versions: list[dict[str, str]]):
    first, upgraded, again = (v[kind] for v in versions)
    assert upgraded != first
    assert again == first


@pytest.mark.parametrize("package", [False, True], ids=["a module", "a package"])
def test_a_library_that_says_no_version_is_known_by_its_files(package: bool, install: Install):
    before = found(install(2, version=None, package=package))
    assert found(install(3, version=None, package=package)) != before
    assert found(install(2, version=None, package=package)) == before


def test_a_library_of_another_name_than_its_module_is_found(install: Install):
    before = found(install(2, version="1.0", name="the-toy-library"))
    assert found(install(3, version="2.0", name="the-toy-library")) != before


def of_branch(commit: str) -> str:
    return json.dumps({"url": "https://host.invalid/x", "vcs_info": {"vcs": "git", "commit_id": commit}})


OF_FOLDER = json.dumps({"url": "file:///somewhere", "dir_info": {}})


@pytest.mark.parametrize(("one", "other"), [(of_branch("aaa"), of_branch("bbb")), (OF_FOLDER, OF_FOLDER)], ids=["a branch", "a folder"])
def test_what_was_not_installed_from_an_index_is_known_by_more_than_its_version(one: str, other: str, install: Install):
    before = found(install(2, version="1.0", origin=one))
    assert found(install(3, version="1.0", origin=other)) != before
    assert found(install(2, version="1.0", origin=one)) == before


def test_python_itself_and_dreamframe_say_no_version_and_keys_that_last_say_none():
    import numpy as np

    def uses(x: float) -> object:
        return np.mean([x])

    assert library_version("json") == ""
    assert library_version("numpy") == f"numpy {np.__version__}"
    assert b"numpy " + np.__version__.encode() in canonical(uses)
    assert b"numpy " + np.__version__.encode() not in canonical(uses, is_lasting=True)
    assert fingerprint(uses) != fingerprint(uses, is_lasting=True)
