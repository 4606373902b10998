"""Options that several commands have, and what completes them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dreamframe.errors import DreamframeError, SettingError
from dreamframe.names import providers
from dreamframe.run.active import DEFAULT_FOLDER
from dreamframe.session.session import Session
from dreamframe.view.rows import FORMATS

MANIFEST = "session.json"


def existing(folder: Path, *, by_option: bool = False) -> Session:
    """A session to look at. Raises SettingError where there is none, with those that are near; `by_option`: the command takes the folder as an option."""
    if (folder / MANIFEST).exists() or is_in_bucket(folder):
        return Session.existing(folder)
    near = sorted(folder.absolute().parent.glob(f"*/{MANIFEST}"))[:3]
    here = ", ".join(repr(str(found.parent).removeprefix(f"{Path.cwd()}/")) for found in near)
    advice = f"There {'is one' if len(near) == 1 else 'are some'} in {here}." if near else "Name the folder of a session, such as ./output."
    if by_option and near:
        advice += f" Say which: --session {str(near[0].parent).removeprefix(f'{Path.cwd()}/')}"
    raise SettingError(f"there is no session in {str(folder)!r}. {advice}")


def is_in_bucket(folder: str | Path) -> bool:
    """Whether it is the address of a session in a bucket. Raises SettingError for one that cannot hold a session."""
    return Session(folder).address is not None


def one_folder(folder: Path, session: Path | None) -> Path:
    """The folder that a command names as its argument or by --session. Raises SettingError where it names two."""
    if session is not None and folder not in (Path(DEFAULT_FOLDER), session):
        raise SettingError(f"two sessions are named: {str(folder)!r}, and --session {str(session)!r}. Name one.")
    return folder if session is None else session


def placed(session: Path, name: str | None) -> tuple[Path, str | None]:
    """The folder and the name that a command is given; a name that is the folder of a session, where none is in the usual place, is meant as that."""
    is_free = name is not None and session == Path(DEFAULT_FOLDER) and not (session / MANIFEST).exists()
    is_folder = is_free and name is not None and ((Path(name) / MANIFEST).exists() or is_in_bucket(name))
    return (Path(name), None) if is_folder and name is not None else (session, name)


def _plans(ctx: typer.Context, incomplete: str) -> list[str]:
    """The labels of the kept plans."""
    try:
        with Session.existing(ctx.params.get("session") or DEFAULT_FOLDER) as opened:
            return sorted({plan.label for plan in opened.plans() if plan.label.startswith(incomplete)})
    except DreamframeError:
        return []


def _models(incomplete: str) -> list[str]:
    return [word for name in providers() if (word := name if name == "smollm2" else f"{name}/").startswith(incomplete)]


def _formats(incomplete: str) -> list[str]:
    return [name for name in FORMATS if name.startswith(incomplete)]


Folder = Annotated[Path, typer.Argument(metavar="FOLDER", help="The folder of the session.", show_default=True)]
OrSession = Annotated[Path | None, typer.Option("--session", "-s", metavar="FOLDER", help="The folder of the session, as every command takes it.")]
InSession = Annotated[Path, typer.Option("--session", "-s", metavar="FOLDER", help="The folder of the session.")]
Name = Annotated[
    str | None,
    typer.Argument(metavar="NAME", help="A plan or stored rows, as `dreamframe ls` names them; without it, the plan that ran last.", autocompletion=_plans),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Model = Annotated[
    str,
    typer.Option(
        "--llm", "-m", metavar="MODEL", autocompletion=_models,
        help="The model as provider/name: openai/gpt-4o-mini, anthropic/claude-sonnet-4, mistral/…, ollama/…, or smollm2, which needs no key. "
        "Keys are read from the environment, as OPENAI_API_KEY.",
    ),
]
From = Annotated[
    str | None, typer.Option("--from", metavar="FORMAT", autocompletion=_formats, help=f"What FILE holds, where its name does not say: {', '.join(FORMATS)}.")
]
To = Annotated[
    str | None, typer.Option("--to", metavar="FORMAT", autocompletion=_formats, help=f"What to write, where the name does not say: {', '.join(FORMATS)}.")
]
Out = Annotated[
    Path | None,
    typer.Option(
        "--output", "-o", metavar="FILE", callback=lambda path: None if path == Path("-") else path,
        help="Write the rows to a file, by its ending; an earlier file stays until all rows are there.",
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do it without asking.")]
