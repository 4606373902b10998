"""What a new provider, embedder, trainer or kind of prompt costs: its file and one row of `names.py`. Done here, in a copy of the package."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

import pytest

import dreamframe
from tests.loopback import Loopback

PACKAGE = Path(dreamframe.__file__).parent
ADDED = Path(__file__).parent / "adding"


@dataclass(frozen=True)
class Addition:
    """A public name, the file it takes, and what then works."""

    name: str
    file: str  # of the package; what is in the file of the same name here
    works: str  # a program
    row: str | None  # of the table of names


ADDITIONS = (
    Addition(
        "Acme",
        "models/llms/acme.py",
        """
        llm = dr.llm("acme/m", base_url=SERVER, temperature=0)
        assert type(llm) is dr.Acme
        assert again(df.prompt(llm, "{t}", into="y"), allow=[SERVER]).collect().rows() == [("tea", "tea")]
        """,
        '"Acme": "models.llms.acme",',
    ),
    Addition(
        "Acme",
        "models/llms/compatible.py",
        """
        llm = dr.llm("acme/m", base_url=SERVER, temperature=0)
        assert type(llm) is dr.Acme
        assert again(df.prompt(llm, "{t}", into="y"), allow=[SERVER]).collect().rows() == [("tea", "tea")]
        """,
        None,
    ),
    Addition(
        "Shouting",
        "models/llms/shouting.py",
        """
        llm = dr.llm("shouting/m", temperature=0)
        assert type(llm) is dr.Shouting
        assert again(df.prompt(llm, "{t}", into="y")).collect().rows() == [("tea", "TEA")]
        """,
        '"Shouting": "models.llms.shouting",',
    ),
    Addition(
        "Lengths",
        "models/embedders/lengths.py",
        'assert again(df.embed(dr.Lengths(), "t", into="v")).collect()["v"].to_list() == [[3.0]]',
        '"Lengths": "models.embedders.lengths",',
    ),
    Addition(
        "Counter",
        "trainers/counter.py",
        """
        with dr.Session("out"):
            model = again(df.train(dr.Counter(), prompt="t"))
            assert (Path(model.path) / "n_rows.txt").read_text() == "1"
        """,
        '"Counter": "trainers.counter",',
    ),
    Addition(
        "Twice",
        "prompts/twice.py",
        'assert again(df.prompt(dr.testing.Echo(), dr.Twice("t"), into="y")).collect().rows() == [("tea", "teatea")]',
        '"Twice": "prompts.twice",',
    ),
)
PROGRAM = """
import sys
from pathlib import Path
import dreamframe as dr

HOUSE, SERVER, NAME = sys.argv[1:]
assert Path(dr.__file__).is_relative_to(HOUSE)
df = dr.frame({"t": ["tea"]})

def again(plan, **how):
    read = dr.from_json(plan.to_json(), **how)
    assert read.to_json() == plan.to_json()
    return read

assert getattr(dr, NAME).__name__ == NAME
assert NAME in dir(dr)
"""


@pytest.mark.parametrize("addition", ADDITIONS, ids=lambda a: a.file)
def test_it_is_one_file_and_at_most_one_row(addition: Addition, tmp_path: Path):
    done = works(addition, tmp_path)
    assert done.returncode == 0, done.stderr


def test_without_its_row_a_new_file_is_not_found(tmp_path: Path):
    done = works(Addition("Twice", "prompts/twice.py", "", None), tmp_path)
    assert "dreamframe has no 'Twice'" in done.stderr


def works(addition: Addition, folder: Path) -> subprocess.CompletedProcess[str]:
    house = folder / "dreamframe"
    shutil.copytree(PACKAGE, house, ignore=shutil.ignore_patterns("__pycache__"))
    if (file := house / addition.file).exists():  # the class alone: the file has the imports
        class_ = (ADDED / "acme.py").read_text().partition("@dataclass")
        file.write_text(f"{file.read_text()}\n\n{class_[1]}{class_[2]}")
    else:
        shutil.copy(ADDED / file.name, file)
    if addition.row is not None:
        table = house / "names.py"
        table.write_text(table.read_text().replace("    # Trainers\n", f"    {addition.row}\n    # Trainers\n"))
    program = PROGRAM + dedent(addition.works)
    env = {**os.environ, "PYTHONPATH": str(folder), "ACME_API_KEY": "k-1", "PYTHONDONTWRITEBYTECODE": "1"}
    with Loopback() as server:
        command = [sys.executable, "-c", program, str(folder), server.url, addition.name]
        return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
