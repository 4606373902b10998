"""A moment of a run as lines for a terminal of some width and height: what does not fit leaves, the least needed first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from dreamframe.plan.estimate import count as tokens
from dreamframe.plan.estimate import duration, money
from dreamframe.run.board import Line, Moment

GAP = 2
NAME, LEAST_NAME = 28, 10  # characters of the longest name that is shown whole beside other columns, and that names are cut to at most
BAR, LEAST_BAR = 16, 6
MOST_NOTES = 3
STAY = ("rows", "left", "failed")  # columns for which names are cut
DIM, ASKED, FAILED, WAITS, HOLDS = "dim", "cyan", "red", "yellow", "green"


class Part(NamedTuple):
    """Words of one look."""

    text: str
    style: str = ""


class Column(NamedTuple):
    head: str
    parts: list[Part]  # one a line
    least: int = 0  # how wide it is at the end, so that nothing moves meanwhile

    @property
    def width(self) -> int:
        return max(self.least, *map(wide, (self.head, *(p.text for p in self.parts))))


def columns(lines: Sequence[Line], *, is_over: bool = False) -> list[Column]:
    """What there is to say of each line, the most needed first; a column in which nobody has anything to say is not there. Of a run that `is_over` there
    is nothing to come."""
    longest = max((len(f"{one.total:,}") for one in lines if one.total), default=0)
    made = [
        Column("rows", [Part(rows_of(one), DIM if one.is_over else "") for one in lines], 2 * longest + 1),
        Column("left", [Part("waits", WAITS) if one.waits else Part(duration(one.left_s) if one.left_s else "") for one in lines]),
        _numbers("failed", lines, lambda one: one.failed, FAILED),
        _numbers("asked", lines, lambda one: one.asked, ASKED),
        _numbers("kept", lines, lambda one: one.kept, DIM),
        Column("money", [Part(money_of(one)) for one in lines]),
        Column("tokens", [Part(tokens(one.tokens) if one.tokens else "") for one in lines]),
        Column("rows/s", [Part(speed_of(one)) for one in lines]),
        Column("loss", [Part(one.said.removeprefix("loss ")) for one in lines]),
        Column("model", [Part(one.model, DIM) for one in lines]),
    ]
    stay = {"rows": True, "left": not is_over}
    return [column for column in made if stay.get(column.head, any(p.text for p in column.parts))]


def _numbers(head: str, lines: Sequence[Line], of: Callable[[Line], int], style: str) -> Column:
    return Column(head, [Part(f"{of(one):,}", style) if of(one) else Part("") for one in lines])


def rows_of(one: Line) -> str:
    """Rows so far of all; `~` before what is the part that filters have left so far."""
    if one.total is None:
        return f"{one.done:,}"
    about = "~" if one.is_about else ""
    return f"{one.done:,}/{about}{one.total:,}"


def money_of(one: Line) -> str:
    """What was spent, and on what all of it will come to."""
    if one.cost is None:
        return "price unknown"
    if not one.cost:
        return ""
    whole = "" if one.cost_whole is None or one.is_over or money(one.cost_whole) == money(one.cost) else f" of ~{money(one.cost_whole)}"
    return money(one.cost) + whole


def speed_of(one: Line) -> str:
    """Three digits; nothing of a line that is over or has not begun."""
    if not one.speed or one.is_over:
        return ""
    return f"{one.speed:,.0f}" if one.speed >= 100 else f"{one.speed:.1f}" if one.speed >= 10 else f"{one.speed:.2f}"


def fitted(moment: Moment, width: int, height: int | None = None, *, end: str | None = None) -> list[list[Part]]:
    """The lines that are shown, none wider than `width` and no more than `height` (None: all). `end`: the last line, once the run is over."""
    notes = [[Part(f"note: {one}", DIM)] for one in moment.notes[:MOST_NOTES]]
    if len(moment.notes) > MOST_NOTES:
        notes.append([Part(f"and {len(moment.notes) - MOST_NOTES} more notes", DIM)])
    last = [Part(whole_of(moment) if end is None else end, "" if end is not None else WAITS if is_short(moment) else "bold")]
    room = None if height is None else max(1, height - 2)  # the head and the last line
    if room is not None and len(notes) > room - len(moment.lines):
        notes = notes[: max(0, room - len(moment.lines))]
    shown, untold = chosen(moment.lines, None if room is None else room - len(notes))
    rest = [[Part(untold, DIM)]] if untold else []
    return [[_cut_part(p, width) for p in line] if len(line) == 1 else line for line in [*_table(shown, width, is_over=end is not None), *rest, *notes, last]]


def chosen(lines: Sequence[Line], room: int | None) -> tuple[list[Line], str]:
    """The lines for which there is room, those at work before all others, and what is said of the rest."""
    if room is None or len(lines) <= room:
        return list(lines), ""
    ranked = sorted(range(len(lines)), key=lambda i: (0 if lines[i].has_begun and not lines[i].is_over else 1 if not lines[i].is_over else 2, i))
    here = set(ranked[: max(1, room - 1)])
    out = [one for i, one in enumerate(lines) if i not in here]
    n_over, n_work = sum(one.is_over for one in out), sum(one.has_begun and not one.is_over for one in out)
    said = {"done": n_over, "at work": n_work, "to begin": len(out) - n_over - n_work}
    return [lines[i] for i in sorted(here)], f"… and {len(out)} more: " + ", ".join(f"{n} {what}" for what, n in said.items() if n)


def is_short(moment: Moment) -> bool:
    """Whether the budget will not be enough, as far as one can tell."""
    return moment.budget is not None and moment.cost_whole is not None and moment.cost_whole > moment.budget


def whole_of(moment: Moment, *, is_over: bool = False) -> str:
    """The line below all others: time, money of the budget; of a run that goes on, what failed and the time to go."""
    said = [duration(moment.took_s)]
    if moment.cost is None:
        said.append("price unknown")
    elif moment.cost or moment.budget is not None:
        whole = "" if is_over or moment.cost_whole is None or money(moment.cost_whole) == money(moment.cost) else money(moment.cost_whole)
        to_come = f", ~{whole} {'needed' if is_short(moment) else 'in all'}" if whole else ""
        said.append(money(moment.cost) + ("" if moment.budget is None else f" of {money(moment.budget)} budget") + to_come)
    if is_over:
        return " · ".join(said)
    if n := sum(one.failed for one in moment.lines):
        said.append(f"{n:,} failed")
    if moment.left_s:
        said.append(f"{duration(moment.left_s)} left")
    return " · ".join(said)


def _table(lines: Sequence[Line], width: int, *, is_over: bool) -> list[list[Part]]:
    if not lines:
        return []
    cells, name = columns(lines, is_over=is_over), max(wide(one.name) for one in lines)
    has_bar = any(one.total for one in lines)
    bar = BAR if has_bar else 0

    def needed(name: int, bar: int) -> int:
        return name + (GAP + bar if bar else 0) + sum(GAP + column.width for column in cells)

    while cells[-1].head not in STAY and needed(min(name, NAME), LEAST_BAR if has_bar else 0) > width:
        cells.pop()  # from the right
    if has_bar:
        bar = min(BAR, max(LEAST_BAR, width - needed(min(name, NAME), 0) - GAP))
    name = max(LEAST_NAME, min(name, width - needed(0, bar)))
    while len(cells) > 1 and needed(name, bar) > width:
        cells.pop()
    if needed(name, bar) > width:
        bar = 0
    names = cut_all([one.name for one in lines], name)
    name = max(map(wide, names))
    head = [Part(" " * (name + (GAP + bar if bar else 0)), DIM), *(Part(" " * GAP + padded(c.head, c.width, right=c.head != "model"), DIM) for c in cells)]
    made = [head]
    for i, one in enumerate(lines):
        line = [Part(padded(names[i], name), DIM if one.is_over else "")]
        line += _bar(one, bar) if bar else []
        for column in cells:
            text, style = column.parts[i]
            line.append(Part(" " * GAP + padded(text, column.width, right=column.head != "model"), style))
        made.append(line)
    return made


def _bar(one: Line, width: int) -> list[Part]:
    """What is kept, what was asked now, and what is to come."""
    if not one.total:
        return [Part(" " * (GAP + width))]
    full = min(width, int(width * one.done / one.total + 0.5) if one.done < one.total else width)
    kept = min(full, round(full * one.kept / max(1, one.kept + one.asked)))
    style = ASKED if one.asked or one.kept or not one.is_over else DIM
    return [Part(" " * GAP), Part("━" * kept, DIM), Part("━" * (full - kept), WAITS if one.waits else style), Part("─" * (width - full), DIM)]


# Texts of some width


def wide(text: str) -> int:
    """Cells that a text takes on a terminal."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def padded(text: str, width: int, *, right: bool = False) -> str:
    space = " " * (width - wide(text))
    return space + text if right else text + space


def cut(text: str, width: int, share: float = 0.5) -> str:
    """The text with its middle left out; `share` of what stays is its beginning.

    >>> cut("summarise_reviews_short", 12)
    'summar…short'
    """
    if wide(text) <= width:
        return text
    head = round((width - 1) * share)
    front, back = text, text
    while wide(front) > head:
        front = front[:-1]
    while back and wide(back) > width - 1 - head:
        back = back[1:]
    return f"{front}…{back}"


def cut_all(names: Sequence[str], width: int) -> list[str]:
    """The names, so cut that those which differ still do.

    >>> cut_all(["a_very_long_one_first", "a_very_long_two_first"], 10)
    ['a_…e_first', 'a_…o_first']
    """
    for share in (0.5, 0.25, 0.75, 0.0, 1.0):
        made = [cut(name, width, share) for name in names]
        if len(set(made)) == len(set(names)):
            return made
    return [name if wide(name) <= width else f"{cut(name, width - len(mark))}{mark}" for i, name in enumerate(names, 1) for mark in (f" {i}",)]


def _cut_part(part: Part, width: int) -> Part:
    if wide(part.text) <= width:
        return part
    kept = part.text
    while wide(kept) > width - 1:
        kept = kept[:-1]
    return Part(f"{kept}…", part.style)
