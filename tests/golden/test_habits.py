"""What people write by habit, and what they are answered, word for word, in one place: habits.txt."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import polars as pl
import pytest

import dreamframe as dr
from tests.golden.files import Golden

GOLDEN = Golden("habits.txt")
LONG = re.compile(r"(Possible|By name): ((?:'\w+', ){4})(?:'\w+', ){4}[^.]*")  # lists of settings, which grow
LLM, GPT, WORDS = dr.testing.Echo(), dr.OpenAI("gpt-4o-mini"), dr.testing.WordEmbedder()
df = dr.frame({"text": ["tea", "rain"], "n": [1, 2], "other": ["a", "b"]})
MODEL = df.train(dr.SFT("base", steps=2), prompt="text", completion="other")
NAMES = {"df": df, "llm": LLM, "gpt": GPT, "words": WORDS, "model": MODEL, "dr": dr, "pl": pl, "groups": df.group_by("n")}

PANDAS = """
df['text'].sum()
df[['text', 'n']]
df[0]
df[1:3]
df[df['n'] > 1]
df.text
df.n > 1
len(df)
list(df)
bool(df)
dict(df)
df.apply
df.assign
df.merge
df.groupby
df.to_csv
df.iloc
df.loc
df.shape
df.dtypes
df.dropna
df.fillna
df.sort_values
df.drop_duplicates
df.height
df.iterrows
df.astype
df.rename_axis
df.reset_index
df.append
df.copy
df.compute
df.ask
df.promt
df.filtr
df.swaplevel
groups.mean
groups['text']
groups.collect
groups.count
list(groups)
model.predict
model.save_pretrained
model.nothing
gpt.chat
words.encode
gpt.nothing
dr.read_csv
dr.DataFrame
dr.col
dr.when
dr.Series
dr.from_pandas
dr.load_dataset
dr.Client
dr.ChatOpenAI
dr.scan_cvs
"""
CALLS = """
# swapped arguments
df.prompt('Sum up {text}', llm)
df.prompt('Sum up {text}', 'openai/gpt-4o-mini')
df.extract('text', llm, {'city': str})
dr.generate('A haiku.', llm, n=2)
df.extract(llm, 'text', {'city': str})
df.classify(llm, 'text', ['good', 'bad'])
df.classify('text', ['good'], llm)
df.filter_by('Is {text}?', llm)
df.rank_by('Rate {text}', llm)
df.top_k_by(llm, 2, 'Rate {text}')
df.score(llm, 'text', {'a': 'b'})
df.judge('text', 'other', llm)
df.join_by(llm, df, '{text}')
groups.reduce_by('Sum up {text}', llm)
df.embed('text', words)
dr.prompt('Sum up {text}', llm)
# classes and other objects
df.prompt(dr.OpenAI, '{text}')
df.prompt(object(), '{text}')
df.prompt(None, '{text}')
df.prompt(len, '{text}')
df.prompt(words, '{text}')
df.prompt(dr.SFT('m'), '{text}')
df.prompt(df, '{text}')
df.prompt(llm, dr.Instruct)
df.prompt(llm, [{'role': 'user', 'content': '{text}'}])
df.prompt(llm, lambda row: row['text'])
df.prompt(llm, pl.col('text'))
df.embed(llm, 'text')
df.embed(dr.MiniLM, 'text')
df.similarity('text', 'other', by=gpt)
df.classify(dr.HFClassifier, ['a'], 'text')
df.train(dr.SFT, prompt='text')
df.train('sft', prompt='text')
df.train(gpt, prompt='text')
df.train(dr.SFT(gpt), prompt='text', completion='other')
df.train(dr.SFT('m'), prompt='text', completion='other', validation=[1])
df.prompt(llm, '{text}', parse=3)
dr.Parallel(dr.OpenAI, gpt)
# settings
dr.OpenAI('m', temprature=1)
dr.OpenAI('m', 'sk-abc')
dr.OpenAI('m', api_base='x')
dr.SFT('m', lr=1e-4)
dr.SFT('m', epoch=3)
dr.Instruct('x', inputs='text')
# schemas
df.prompt(llm, '{text}', schema=dict)
df.prompt(llm, '{text}', schema=list)
df.prompt(llm, '{text}', schema={'city': 'string'})
df.prompt(llm, '{text}', schema={'type': 'object', 'properties': {'a': str}})
df.prompt(llm, '{text}', schema='int')
df.prompt(llm, '{text}', schema={})
# names of columns
df.prompt(llm, '{text}', 3)
df.prompt(llm, '{text}', bool)
df.prompt(llm, '{text}', into=None)
df.embed(words, 'text', into=3)
dr.prompt(llm, '{text}', 3)
df.with_columns(dr.prompt(llm, '{text}'), dr.prompt(llm, '{other}'))
df.select(pl.col('n') + 1, pl.col('n') * 2)
# expressions
df.filter(dr.prompt(llm, '{text}').str.to_lowercase())
df.filter('n')
df.filter(lambda row: row['n'] > 1)
df.with_columns(x=lambda row: 1)
df.with_columns(x=llm)
df.select(df)
df.with_columns({'a': 1})
groups.agg({'text': 'count'})
df.group_by()
df.group_by('nn')
df.rename('n')
# numbers
df.head('2')
df.head(-1)
df.tail(2.5)
df.slice('1')
df.limit(None)
df.preview('2')
df.shard('2', 0)
df.until('2', where=pl.col('n') > 1)
dr.generate(llm, 'x', n='3')
df.cluster('text', k='3', by=words)
df.top_k_by(llm, 'Rate {text}', '2')
# several frames
dr.concat(df)
dr.concat([df, df.drop('n')])
dr.concat([df, df.cast({'n': pl.Float64})])
dr.concat([df, df.rename({'n': 'm'})])
dr.concat([df, df.select('n', 'text', 'other')])
dr.concat([df, df], how='horizontal')
dr.concat([df, 3])
dr.collect_all(df)
dr.collect_all([df, 3])
df.join(df)
df.join(df, 'n', 'cross')
df.join(pl.DataFrame({'n': [1]}), 'n')
# closed choices
df.join(df, on='n', how='innr')
df.join(df, on='n', validate='1:2')
df.unique(keep='frist')
dr.concat([df, df], how='vert')
df.collect(mode='btch')
df.collect(retry='pars')
df.judge(llm, 'text', 'other', swap='radom')
df.dedup('text', method='minhas')
df.prompt(llm, '{text}', on_error='nul')
df.retrieve(df, query='text', text='text', by=words, index='usarch')
df.map(len, into='m', schema=int, on_error='rais')
# functions
df.map(lambda row: 1)
df.map(lambda row: 1, schema=int)
df.map(lambda row: 1, into='m')
df.map('upper')
df.map(lambda row: 1, {'m': 'int'})
df.map(lambda row: 1, {'m': int}).collect()
dr.FunctionLLM('ask')
dr.FunctionLLM(lambda text: text, temperature=1)
# rows
dr.grid(['a', 'b'])
dr.grid({'topic': 'tea'})
dr.scan_csv(3)
dr.scan_csv({'a': 1})
"""

CASES = [line for line in (PANDAS + CALLS).splitlines() if line and not line.startswith("#")]


def answer(code: str) -> str:
    try:
        made = eval(code, dict(NAMES))  # noqa: S307
    except Exception as exc:  # noqa: BLE001  the golden file holds the kind
        return f"{type(exc).__name__}: {LONG.sub(lambda found: f'{found[1]}: {found[2]}…', str(exc))}"
    raise AssertionError(f"{code} gave {made!r}")


@pytest.mark.parametrize("code", CASES)
def test_what_is_written_by_habit_is_answered(code: str, session: dr.Session) -> None:
    import pandas  # noqa: F401  its names are told where it is there

    said = answer(code)
    GOLDEN.check(code, said)
    assert "'Frame' object" not in said
    assert "Verbs" not in said


def test_assigning_is_answered() -> None:
    def assign() -> None:
        df["a"] = 1  # type: ignore[index]

    def delete() -> None:
        del df["text"]  # type: ignore[attr-defined]

    wrong: dict[str, Callable[[], None]] = {"df['a'] = 1": assign, "del df['text']": delete}
    for code, run in wrong.items():
        with pytest.raises(TypeError) as raised:
            run()
        GOLDEN.check(code, f"TypeError: {raised.value}")


def test_the_file_has_no_other_sections() -> None:
    GOLDEN.check_names([*CASES, "df['a'] = 1", "del df['text']"])


WORKS: dict[str, Any] = {  # what people write by habit, and what simply works
    "df.prompt(llm, '{text}', 'said').columns[-1]": "said",
    "df.extract(llm, {'city': str, 'mood': ['good', 'bad']}, 'text', 'found').schema['found'].fields[0].name": "city",
    "df.judge(llm, 'text', 'other').columns[-1]": "winner",
    "'text' in df": True,
    "df.filter([True, False]).to_dicts()": [{"text": "tea", "n": 1, "other": "a"}],
    "dr.collect_all(f for f in [df.head(1)])[0].height": 1,
    "dr.collect_all([])": [],
    "dr.concat(f for f in [df, df]).collect().height": 4,
    "df.with_columns((pl.col('n') * i).alias(f'x{i}') for i in range(2)).columns[-1]": "x1",
    "df.map(lambda row: row['n'] + 1, into='m', schema=int).collect()['m'].to_list()": [2, 3],
    "df.map(lambda row: {'m': 1}, {'m': int}).columns[-1]": "m",
    "df.prompt(llm, dr.Chat([{'role': 'user', 'content': '{text}'}])).collect()['answer'].to_list()": ["tea", "rain"],
}


@pytest.mark.parametrize("code", WORKS)
def test_what_is_written_by_habit_works(code: str, session: dr.Session) -> None:
    assert eval(code, dict(NAMES)) == WORKS[code]  # noqa: S307
