"""A head over MiniLM that learns from SmolLM2: calls spared on 600 reviews, in a second run, and after edits of 20 rows. `python -m benchmarks.distil`.

About a minute of CPU, all of it SmolLM2's. What an edit costs beside its rows and the new sample are rows that another head and another threshold leave to the
strong model: none in most edits, and dozens in some.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from random import Random
from statistics import mean

import dreamframe as dr
from benchmarks.figures import Figure, report

THINGS = "kettle lamp chair phone blender jacket tent printer bicycle sofa router camera knife backpack speaker mattress".split()  # noqa: SIM905
GOOD = ["works perfectly and I love it", "is wonderful and very well made", "looks great", "is the best I ever bought", "is excellent value"]
BAD = ["broke after one day and I hate it", "is terrible and a waste of money", "does not work", "is the worst I ever bought", "smells awful"]
N_EDITS = 6  # each of the first run's rows
MORE = ["", "I use it every morning.", "The box was blue.", "I bought it online.", "My neighbour has one too.", "It was a gift.", "Delivery took a week."]


def judged(texts: list[str]) -> dr.Frame:
    """The reviews with their mood."""
    ask = "{review}\n\nIs this review positive or negative?"
    distil = dr.Distil(dr.MiniLM(), labels=max(40, len(texts) // 3), accuracy=0.9)
    return dr.frame({"review": texts}).classify(dr.SmolLM2(temperature=0), ["positive", "negative"], "review", "mood", prompt=ask, distil=distil)


def strong_calls(session: dr.Session) -> dict[str, int]:
    """Calls of SmolLM2 in the last run, by step."""
    return {step.label: step.calls for step in session.runs()[-1].steps if "SmolLM2" in step.model}


def edited(texts: list[str], first: int) -> list[str]:
    """The reviews, of which 20 are others: every so manieth from a first one on."""
    return [text.replace("This", "That") if i % (len(texts) // 20) == first else text for i, text in enumerate(texts)]


def main(n_rows: int) -> bool:
    """Print the figures; whether their limits hold."""
    texts = Random(0).sample([f"This {thing} {said}. {more}".strip() for thing in THINGS for said in GOOD + BAD for more in MORE], n_rows)
    edits = []
    with tempfile.TemporaryDirectory() as folder:
        with dr.Session(f"{folder}/first") as session:
            began = time.process_time()
            judged(texts).collect()
            cpu, first = time.process_time() - began, sum(strong_calls(session).values())
            judged(texts).collect()
            again = session.runs()[-1].calls
        for at in range(N_EDITS):
            with dr.Session(shutil.copytree(f"{folder}/first", f"{folder}/edit {at}")) as session:
                judged(edited(texts, at)).collect()
                edits.append(strong_calls(session))
    beside = [sum(calls.values()) - calls["classify sample"] for calls in edits]
    figures = [
        Figure("strong calls", first, "calls", n_rows, "all rows", most=1),
        Figure("CPU", cpu, "s"),
        Figure("second run", again, "calls", most=0),
        Figure("edit: rows to learn from", mean(calls["classify labels"] for calls in edits), "calls", most=20),
        Figure("edit: sample", mean(calls["classify sample"] for calls in edits), "calls"),
        Figure("edit: left to the strong model", mean(calls["classify"] for calls in edits), "calls"),
        Figure("edits of at most 20 calls beside the sample", sum(n <= 20 for n in beside), "edits", N_EDITS, "all edits", least=0.7),
    ]
    return report("distil", figures, notes={"rows": n_rows, "calls beside the sample": beside})


if __name__ == "__main__":
    sys.exit(not main(int(sys.argv[1]) if len(sys.argv) > 1 else 600))
