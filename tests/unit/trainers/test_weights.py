"""Where the weights lie that a training starts from."""

from __future__ import annotations

from pathlib import Path

import pytest

from dreamframe.errors import SettingError
from dreamframe.models.base import Artefact
from dreamframe.trainers.base import Chained
from dreamframe.trainers.weights import Located, locate


def test_the_folders_of_a_chain_are_found(tmp_path: Path) -> None:
    base, adapter = tmp_path / "base", tmp_path / "adapter"
    for folder, file in ((base, "config.json"), (adapter, "adapter_config.json")):
        folder.mkdir()
        (folder / file).write_text("{}")
    below = Chained(Artefact(str(base), "b"))
    assert locate(Chained(Artefact(str(adapter), "a"), below), who="DPO") == Located(base, adapter)
    with pytest.raises(SettingError, match="what it lies over is not known"):
        locate(Artefact(str(adapter), "a"), who="DPO")
    with pytest.raises(SettingError, match=r"not the folder of a model: it has no config\.json"):
        locate(Artefact(str(tmp_path), "a"), who="DPO")
