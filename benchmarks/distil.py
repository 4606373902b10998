"""A head over MiniLM that learns from SmolLM2: calls spared on 600 reviews, in a second run, and after an edit of 20 rows. `python -m benchmarks.distil`.

About a minute of CPU, all of it SmolLM2's. What the edit costs beside its rows and the new sample are rows that another threshold leaves to the strong model.
"""

from __future__ import annotations

import sys
import tempfile
import time
from random import Random

import dreamframe as dr
from benchmarks.figures import Figure, report

THINGS = "kettle lamp chair phone blender jacket tent printer bicycle sofa router camera knife backpack speaker mattress".split()  # noqa: SIM905
GOOD = ["works perfectly and I love it", "is wonderful and very well made", "looks great", "is the best I ever bought", "is excellent value"]
BAD = ["broke after one day and I hate it", "is terrible and a waste of money", "does not work", "is the worst I ever bought", "smells awful"]
MORE = ["", "I use it every morning.", "The box was blue.", "I bought it online.", "My neighbour has one too.", "It was a gift.", "Delivery took a week."]


def judged(texts: list[str]) -> dr.Frame:
    """The reviews with their mood."""
    ask = "{review}\n\nIs this review positive or negative?"
    distil = dr.Distil(dr.MiniLM(), labels=max(40, len(texts) // 3), accuracy=0.9)
    return dr.frame({"review": texts}).classify(dr.SmolLM2(temperature=0), ["positive", "negative"], "review", "mood", prompt=ask, distil=distil)


def strong_calls(session: dr.Session) -> dict[str, int]:
    """Calls of SmolLM2 in the last run, by step."""
    return {step.label: step.calls for step in session.runs()[-1].steps if "SmolLM2" in step.model}


def main(n_rows: int) -> bool:
    """Print the figures; whether their limits hold."""
    texts = Random(0).sample([f"This {thing} {said}. {more}".strip() for thing in THINGS for said in GOOD + BAD for more in MORE], n_rows)
    with tempfile.TemporaryDirectory() as folder, dr.Session(folder) as session:
        began = time.process_time()
        judged(texts).collect()
        cpu, first = time.process_time() - began, sum(strong_calls(session).values())
        judged(texts).collect()
        again = session.runs()[-1].calls
        judged([text.replace("This", "That") if i % (n_rows // 20) == 0 else text for i, text in enumerate(texts)]).collect()
        edit = strong_calls(session)
    figures = [
        Figure("strong calls", first, "calls", n_rows, "all rows", most=1),
        Figure("CPU", cpu, "s"),
        Figure("second run", again, "calls", most=0),
        Figure("edit: rows to learn from", edit["classify labels"], "calls", most=20),
        Figure("edit: sample", edit["classify sample"], "calls"),
        Figure("edit: left to the strong model", edit["classify"], "calls"),
    ]
    return report("distil", figures, notes={"rows": n_rows})


if __name__ == "__main__":
    sys.exit(not main(int(sys.argv[1]) if len(sys.argv) > 1 else 600))
