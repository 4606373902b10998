"""The README of a repository after a push: our section is new, and what others wrote stays."""

from __future__ import annotations

import pytest
import yaml

from dreamframe.hub.readme import marked, merged

FRONT = {"license": "mit", "tags": ["synthetic", "dreamframe"], "size_categories": ["n<1K"]}


def card(section: str, front: dict[str, object]) -> str:
    return f"---\n{yaml.safe_dump(front, sort_keys=False)}---\n\n# rows\n\n{marked(section, front)}\n"


OLD, NEW = card("Old.", FRONT), card("New.", {**FRONT, "size_categories": ["1K<n<10K"]})


def front(readme: str) -> dict[str, object]:
    return dict(yaml.safe_load(readme.split("---\n")[1]))


def test_a_readme_that_nobody_touched_is_the_new_one() -> None:
    assert merged(NEW, OLD) == NEW
    assert merged(NEW, "") == NEW
    assert merged(NEW, NEW) == NEW


def test_what_was_added_changed_and_taken_out_by_hand_stays_so() -> None:
    edited = OLD.replace("license: mit\n", "license: cc-by-4.0\nlanguage: en  # by hand\n").replace("tags:\n- synthetic\n- dreamframe\n", "")
    edited = edited.replace("# rows", "# My rows\n\nAbove.").rstrip() + "\n\nBelow.\n"
    made = merged(NEW, edited)
    assert front(made) == {"license": "cc-by-4.0", "language": "en", "size_categories": ["1K<n<10K"]}
    assert "language: en  # by hand\n" in made
    assert "Old." not in made
    assert made.index("# My rows\n\nAbove.") < made.index("New.") < made.index("Below.")
    assert merged(NEW, made) == made


def test_what_we_claimed_and_claim_no_more_goes() -> None:
    now = {k: v for k, v in FRONT.items() if k != "license"}
    assert "license" not in front(merged(card("New.", now), OLD))
    assert front(merged(card("New.", now), OLD.replace("license: mit", "license: apache-2.0")))["license"] == "apache-2.0"


def test_a_readme_of_somebody_else_keeps_its_text_and_gets_our_section_at_its_end() -> None:
    theirs = "---\r\nlicense: gpl-3.0\r\ntags:\r\n- mine\r\n---\r\n# Theirs\r\n\r\nText.\r\n"
    made = merged(NEW, theirs)
    assert front(made) == {"license": "gpl-3.0", "tags": ["mine", "synthetic", "dreamframe"], "size_categories": ["1K<n<10K"]}
    assert made.index("# Theirs\n\nText.") < made.index("New.")
    assert "# rows" not in made
    assert merged(NEW, made) == made
    assert "Text." in merged(NEW, "Text.\n")


def test_how_the_rows_lie_is_ours_and_other_configurations_stay() -> None:
    ours = NEW.replace("---\n\n#", "configs:\n- config_name: default\n  data_files:\n  - split: train\n    path: data/train-*\n---\n\n#", 1)
    theirs = OLD.replace("---\n\n#", "configs:\n- config_name: default\n  data_files: old/*\n- config_name: small\n  data_files: small/*\n---\n\n#", 1)
    theirs = theirs.replace("---\n\n#", "dataset_info:\n  features:\n  - name: gone\n    dtype: string\n---\n\n#", 1)
    made = front(merged(ours, theirs))
    assert made["configs"] == [
        {"config_name": "default", "data_files": [{"split": "train", "path": "data/train-*"}]},
        {"config_name": "small", "data_files": "small/*"},
    ]
    assert "dataset_info" not in made, "the datasets library would look for columns that are gone"


@pytest.mark.parametrize("inside", ["<!-- dreamframe:end 0123456789ab -->", "<!-- dreamframe:begin 0123456789ab (x) -->", "---\n", "# rows"])
def test_no_text_in_our_section_ends_it(inside: str) -> None:
    old = card(f"```text\n{inside}\n```", FRONT)
    assert merged(NEW, old.rstrip() + "\n\nBelow.\n") == NEW.rstrip() + "\n\nBelow.\n"


def test_the_section_of_an_earlier_version_is_found_without_marks() -> None:
    was = "4 rows of 1 columns, made with [dreamframe](https://pypi.org/project/dreamframe/). Run: 2026-01-01 (UTC).\n\n## Use\n\nx\n\n"
    was += "Fingerprint of the plan: `ab12`\n\nVersions: polars 2.1.0."
    made = merged(NEW, f"---\nlicense: mit\n---\n\n# rows\n\nAbove.\n\n{was}\n\nBelow.\n")
    assert "2026-01-01" not in made
    assert made.index("Above.") < made.index("New.") < made.index("Below.")
    assert made.count("## Use") == 0


def test_a_section_whose_end_was_taken_away_loses_nothing() -> None:
    half = OLD[: OLD.index("<!-- dreamframe:end")] + "Mine.\n"
    made = merged(NEW, half)
    assert "Mine." in made
    assert "New." in made


@pytest.mark.parametrize(
    ("theirs", "kept"),
    [
        ('{"license": "gpl-3.0", "tags": ["x"]}', {"license": "gpl-3.0", "tags": ["x", "synthetic", "dreamframe"]}),
        ("{license: gpl-3.0,\n language: [en]}", {"license": "gpl-3.0", "language": ["en"]}),
        ("  license: gpl-3.0\n  language: en", {"license": "gpl-3.0", "language": "en"}),
        ("? license\n: gpl-3.0", {"license": "gpl-3.0"}),
        ("tags: &mine [x]\nothers: *mine", {"tags": ["x", "synthetic", "dreamframe"], "others": ["x"]}),
        ("license: [gpl-3.0", {}),
        ("- license\n- gpl-3.0", {}),
        ("license:gpl-3.0", {}),
        ("license: !!python/name:os.system x", {}),
        (f"a: {'[' * 3000}{']' * 3000}", {}),
    ],
    ids=["json", "braces", "indented", "a complex key", "an anchor", "broken", "a list", "no space", "a tag", "deep"],
)
def test_front_matter_of_any_shape_gives_one_that_can_be_read_and_loses_nothing(theirs: str, kept: dict[str, object]) -> None:
    made = merged(OLD, f"---\n{theirs}\n---\n# Theirs\n")
    assert front(made) == {**FRONT, **kept}
    assert "# Theirs\n" in made
    assert kept or theirs in made, "what cannot be read stays as text"
    assert merged(OLD, made) == made
    again = merged(NEW, made)
    assert front(again) == {**FRONT, "size_categories": ["1K<n<10K"], **kept}
    assert "Old." not in again


def test_a_value_that_holds_itself_does_not_stop_a_push() -> None:
    made = merged(OLD, "---\nlicense: &all [x, *all]\n---\n# Theirs\n")
    assert "license: &all [x, *all]\n" in merged(NEW, made)
