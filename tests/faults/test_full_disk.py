"""A full disk hides no row that is there, and is said before anything more is paid for."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.faults.test_store_disk_errors import ROOT, mounted, needs_mount


@needs_mount
def test_a_full_disk_hides_no_kept_row_and_stops_a_run_before_it_pays(tmp_path: Path) -> None:
    command = [*mounted(f"mount -t tmpfs -o size=2m tmpfs {tmp_path}"), sys.executable, "-m", "tests.faults.full_disk", str(tmp_path)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert ended.returncode == 0, ended.stderr[-3000:]
    told = json.loads(ended.stdout)
    assert (told["first"]["rows"], told["first"]["calls"]) == (200, 200)
    for name in ("again", "offline", "another plan"):
        assert (told[name]["calls"], told[name]["error"]) == (0, ""), name
        assert told[name]["rows"] in (100, 200)
        assert any("the disk is full" in w for w in told[name]["warnings"]), name
    assert told["more"]["error"].startswith("StorageError: cannot") or "the disk is full" in told["more"]["error"]
    assert told["more"]["calls"] == 0, "nothing is paid that cannot be kept"
    assert (told["room"]["rows"], told["room"]["calls"], told["room"]["error"]) == (400, 200, "")
