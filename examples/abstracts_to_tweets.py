"""Make abstracts out of nothing, a tweet for each, and a model that writes such tweets. On embedded models: no key, no download.

With an API: --llm openai/gpt-4o-mini --rows 1000, and dr.Seq2Seq("google/t5-v1_1-base", peft=LoraConfig(), epochs=30, batch_size=8). To publish for
real: leave out dry_run=True, and give a token with `hf auth login`.
"""

from argparse import ArgumentParser
from pathlib import Path

import dreamframe as dr

output = Path(__file__).parent / "output"
given = ArgumentParser()
given.add_argument("--llm", default="smollm2", help="the model, as provider/name: openai/gpt-4o-mini")
given.add_argument("--base", default=dr.SmolLM2(), help="what is trained: a folder or an id of the Hub")
given.add_argument("--rows", type=int, default=4, help="how many rows")
ask = given.parse_args()
llm = dr.llm(ask.llm, max_tokens=40)

abstracts = dr.generate(
    llm, "Write an abstract of a paper on natural language processing, in one sentence. Give the abstract alone.", n=ask.rows, temperature=1.0, into="abstract"
)
tweet = dr.Instruct("Given the abstract, write a tweet of one sentence in plain words to summarize the work.", input="abstract")
tweets = abstracts.prompt(llm, tweet, temperature=0, into="tweet")

train, validation = tweets.split(train=0.75, validation=0.25, seed=0)
sft = dr.SFT(ask.base, peft={"r": 4}, steps=1, batch_size=1, max_length=160)
model = train.train(sft, prompt="abstract", completion="tweet", validation=validation)

with dr.Session(output) as session:
    for row in tweets.preview(2).to_dicts():
        print(f"abstract: {row['abstract']}\ntweet:    {row['tweet']}\n")
    tweets.write_parquet(output / "tweets.parquet")
    print(f"loss on tweets that it did not see: {model.summary()['metrics']['eval_loss']:.2f}")
    for done in (
        tweets.push_to_hub("me/abstracts_and_tweets", splits={"train": train, "validation": validation}, dry_run=True),
        model.push_to_hub("me/abstracts_to_tweet_model", dry_run=True),
    ):
        print(f"would go to {done.url}: {', '.join(done.written)}")
    print(f"this run: {session.summary()}")
