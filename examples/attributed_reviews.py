"""Varied texts from attributed prompts: a model names films, themes and styles; every combination asks for a review of its own.

Nothing runs before the last lines: the questions, their answers cut up, the combinations and the reviews are one plan. After AttrPrompt, Yu et al.
2023 (https://arxiv.org/abs/2306.15895), as the card says too. With an API: --llm openai/gpt-4o-mini --rows 1000, and ten of each.
To publish for real: leave out dry_run=True.
"""

from argparse import ArgumentParser
from pathlib import Path

import dreamframe as dr

output = Path(__file__).parent / "output"
given = ArgumentParser()
given.add_argument("--llm", default="smollm2", help="the model, as provider/name: openai/gpt-4o-mini")
given.add_argument("--rows", type=int, default=6, help="how many rows")
ask = given.parse_args()
llm = dr.llm(ask.llm, temperature=0, max_tokens=50)


def attribute(question: str, name: str) -> dr.Frame:
    """A row for each thing that the model names."""
    few = {"type": "array", "items": {"type": "string", "maxLength": 30}, "minItems": 2, "maxItems": 2}
    return dr.frame({"q": [question]}).prompt(llm, "{q}", schema=few, into=name).select(name).explode(name)


reviews = (
    attribute("Name two famous films.", "movie")
    .join(attribute("Name two things that make a film good or bad, such as its music.", "element"), how="cross")
    .join(attribute("Name two adjectives for a style of writing.", "style"), how="cross")
    .repeat_to(ask.rows)
    .prompt(llm, "Generate a one sentence {style} movie review about {movie} that focuses on {element}.", into="review", temperature=0.7)
    .select("review")
    .shuffle(seed=0)
)

with dr.Session(output) as session:
    print(reviews.explain(), "\n")
    for row in reviews.preview(3).to_dicts():
        print(f"- {row['review']}\n")
    reviews.write_parquet(output / "reviews_of_films.parquet")
    done = reviews.push_to_hub("me/movie_reviews", dry_run=True)
    print(f"would go to {done.url}: {', '.join(done.written)}")
    print(f"this run: {session.summary()}")
