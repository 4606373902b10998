"""The tables: a name of pandas, eager polars and other libraries → what is written here.

A row is a name and a line of code that runs, perhaps with a remark after a `#`. Of a frame it is `df`, of groups `df.group_by('key')`, of a model `model`.
"""

from __future__ import annotations

from collections.abc import Mapping

COLLECT = "df.collect()  # a polars frame: nothing runs before"
COUNT = "df.select(pl.len()).collect().item()  # a plan knows its rows when it has run"
ROWS = "df.to_dicts()  # the rows run first; df.collect_batches() gives them as they are ready"
EACH_ROW = "df.map(lambda row: row['a'] + 1, into='c', schema=int)  # polars is faster: df.with_columns(c=pl.col('a') + 1)"
NEW_COLUMN = "df.with_columns(c=pl.col('a') * 2)"
NO_INDEX = "df.with_row_index()  # there is no index: what names a row is a column"
SUM = "df.select(pl.col('a').sum())  # or pl.all() for all columns; of groups: df.group_by('key').agg(pl.col('a').sum())"
BELOW = "dr.concat([df, other])"
ASK = "df.prompt(llm, 'Sum up {text}', into='summary')"
WHERE = "df.filter(pl.col('a') > 1)"
STATISTICS = (
    *("sum", "mean", "min", "max", "median", "std", "var", "quantile", "n_unique", "product", "any", "all", "mode", "abs", "round", "cumsum", "diff", "rank"),
)
EAGER = ("compute", "execute", "run", "fetch", "persist", "cache", "materialize", "load", "result", "results", "to_polars", "to_df", "toPandas", "data", "df")

FRAME: Mapping[str, str] = {
    # pandas
    **dict.fromkeys(("apply", "applymap", "transform", "map_elements", "map_rows", "map_dict", "progress_apply"), EACH_ROW),
    **dict.fromkeys(("assign", "with_column", "insert", "insert_column", "add_column", "mutate", "withColumn"), NEW_COLUMN),
    **dict.fromkeys(("agg", "aggregate", "summarise", "cumprod", "skew", "sem", *STATISTICS), SUM),
    **dict.fromkeys(("append", "vstack", "extend", "union", "concat", "add_item", "unionAll"), BELOW),
    **dict.fromkeys(("iterrows", "itertuples", "iter_rows", "rows", "items", "iteritems", "to_records", "to_list", "tolist", "rows_by_key"), ROWS),
    **dict.fromkeys(("height", "n_rows", "num_rows", "size", "count", "nrow"), COUNT),
    **dict.fromkeys(("set_index", "reset_index", "reindex", "rename_axis", "index", "sort_index", "with_row_count"), NO_INDEX),
    **dict.fromkeys(("where", "query", "filter_rows", "between"), WHERE),
    "compare": "dr.compare(df, other, on='a', metric=dr.metrics.accuracy('key', 'a'))  # of models: df.compare_models([llm, 'openai/gpt-4o-mini'])",
    **dict.fromkeys(("elo", "elo_ratings", "leaderboard"), "df.bradley_terry('text', 'b', winner='b')"),
    **dict.fromkeys(("metrics", "classification_report", "confusion_matrix"), "df.evaluate(dr.metrics.accuracy('key', 'a'), by='b')"),
    **dict.fromkeys(("fillna", "fill"), "df.fill_null(0)"),
    **dict.fromkeys(("ffill", "bfill", "pad"), "df.fill_null(strategy='forward')"),
    **dict.fromkeys(("isna", "isnull"), "df.filter(pl.col('a').is_null())"),
    **dict.fromkeys(("notna", "notnull"), "df.filter(pl.col('a').is_not_null())"),
    **dict.fromkeys(("drop_duplicates", "distinct", "duplicated", "dropDuplicates"), "df.unique('key')  # near-duplicates: df.dedup('text', method='minhash')"),
    **dict.fromkeys(("first", "take_first"), "df.head(1)"),
    "last": "df.tail(1)",
    "clip": "df.with_columns(pl.col('a').clip(1, 2))",
    **dict.fromkeys(("cut", "qcut"), "df.with_columns(pl.col('a').cut([1, 2]))"),
    **dict.fromkeys(("cummax", "cummin"), "df.with_columns(pl.col('a').cum_max())"),
    "cumcount": "df.with_row_index()",
    "select_dtypes": "df.select(pl.selectors.numeric())",
    **dict.fromkeys(("to_html", "to_latex"), "df.to_pandas().to_html()"),
    "is_empty": "df.collect().is_empty()",
    "sort_by": "df.sort('a')",
    "nlargest": "df.top_k(3, by='a')",
    "nsmallest": "df.bottom_k(3, by='a')",
    **dict.fromkeys(("get", "get_column", "to_series", "pop", "to_numpy", "series"), "df.collect()['a']  # in a verb, the column is pl.col('a')"),
    **dict.fromkeys(("values", "array"), "df.collect().to_numpy()"),
    **dict.fromkeys(("T", "transpose"), "df.collect().transpose()"),
    **dict.fromkeys(("melt", "stack", "wide_to_long"), "df.unpivot(['a', 'b'], index='key')"),
    **dict.fromkeys(("pivot_table", "unstack", "crosstab"), "df.collect().pivot('key', index='b', values='a')"),
    **dict.fromkeys(("copy", "clone", "__copy__"), "df  # a frame never changes, so it needs no copy"),
    **dict.fromkeys(("at", "iat", "item"), "df.collect().item(0, 'a')"),
    "merge": "df.join(other, on='key')",
    "groupby": "df.group_by('key').agg(pl.col('a').sum())",
    "groupBy": "df.group_by('key').agg(pl.col('a').sum())",
    "loc": "df.filter(pl.col('a') > 1).select('a')",
    "iloc": "df.slice(0, 3)  # or df.head(3), df.gather([0, 2])",
    "shape": "df.collect().shape  # a plan knows its rows when it has run; its columns are df.columns",
    "width": "len(df.columns)",
    "dtypes": "df.schema.dtypes()",
    "info": "print(df)  # columns, types and the plan",
    "dropna": "df.drop_nulls()",
    "replace": "df.with_columns(pl.col('a').replace({1: 2}))",
    "isin": "df.filter(pl.col('a').is_in([1, 2]))",
    "mask": "df.with_columns(a=pl.when(pl.col('a') > 1).then(0).otherwise('a'))",
    "sort_values": "df.sort('a', descending=True)",
    "order_by": "df.sort('a')",
    "orderBy": "df.sort('a')",
    **dict.fromkeys(("corr", "cov"), "df.select(pl.corr('key', 'a'))"),
    "nunique": "df.select(pl.all().n_unique())",
    "value_counts": "df.group_by('key').len()",
    "astype": "df.cast({'a': pl.Float64})",
    "hstack": "dr.concat([df, other.select(c='a')], how='horizontal')",
    "eval": NEW_COLUMN,
    "str": "df.with_columns(pl.col('text').str.to_uppercase())",
    "dt": "df.with_columns(pl.col('a').cast(pl.Date).dt.year())",
    "add_prefix": "df.select(pl.all().name.prefix('x_'))",
    "add_suffix": "df.select(pl.all().name.suffix('_x'))",
    "empty": "df.collect().is_empty()",
    "keys": "df.columns",
    "plot": "df.to_pandas().plot()",
    "hist": "df.to_pandas().hist()",
    # files
    "to_csv": "df.write_csv('rows.csv')",
    "to_parquet": "df.write_parquet('rows.parquet')",
    "to_excel": "df.collect().write_excel('rows.xlsx')",
    "to_feather": "df.collect().write_ipc('rows.arrow')",
    "to_pickle": "df.write_parquet('rows.parquet')",
    "to_dict": "df.collect().to_dict(as_series=False)",
    "to_string": "print(df.collect())",
    "to_markdown": "df.to_pandas().to_markdown()",
    "to_sql": "df.collect().write_database('rows', 'sqlite:///rows.db')",
    "to_jsonl": "df.write_ndjson('rows.ndjson')",
    "save": "df.write_parquet('rows.parquet')  # a session keeps all rows by itself",
    # run it
    **dict.fromkeys(EAGER, COLLECT),
    # data sets of Hugging Face, and DataDreamer
    "column_names": "df.columns",
    "features": "df.schema",
    "num_columns": "len(df.columns)",
    "select_columns": "df.select('a', 'b')",
    **dict.fromkeys(("remove_columns", "drop_columns"), "df.drop('a')"),
    **dict.fromkeys(("rename_column", "rename_columns", "withColumnRenamed"), "df.rename({'a': 'c'})"),
    "cast_column": "df.cast({'a': pl.Float64})",
    "take": "df.head(3)",
    "skip": "df.slice(3)",
    "train_test_split": "df.split(train=0.8, test=0.2)",
    "splits": "df.split(train=0.8, test=0.2)",
    "save_to_disk": "df.to_hf_dataset().save_to_disk('rows')",
    "to_json_lines": "df.write_ndjson('rows.ndjson')",
    "publish_to_hf_hub": "df.push_to_hub('me/rows', dry_run=True)",
    "data_card": "df.card()",
    "output": COLLECT,
    # asking models
    **dict.fromkeys(("ask", "chat", "complete", "generate", "llm", "annotate", "summarize", "translate", "predict", "sem_map", "add_prompt"), ASK),
    **dict.fromkeys(("sem_filter", "filter_with_prompt", "ai_filter"), "df.filter_by(llm, 'Is {text} about tea?')"),
    **dict.fromkeys(("sem_join", "fuzzy_join"), "df.join_by(other.select(c='text'), llm, 'Does {text} fit {c}?')"),
    **dict.fromkeys(("sem_topk", "rank_with_prompt"), "df.top_k_by(llm, 'Rate {text}', 3, scale=(1, 10))"),
    **dict.fromkeys(("sem_dedup", "deduplicate", "drop_near_duplicates"), "df.dedup('text', method='minhash')"),
    **dict.fromkeys(("fit", "finetune", "fine_tune"), "df.train(dr.SFT(dr.SmolLM2()), prompt='text', completion='b').fit()"),
    "errors": "df.failures()",
    "encode": "df.embed(embedder, 'text')",
    "search": "df.retrieve(other, query='text', text='text', by=embedder, k=2)",
}

AGG = "df.group_by('key').agg(pl.col('a').sum())"
GROUPS: Mapping[str, str] = {
    **dict.fromkeys((*STATISTICS, "first", "last", "aggregate", "nunique", "describe", "value_counts"), AGG),
    **dict.fromkeys(("count", "size"), "df.group_by('key').len()"),
    **dict.fromkeys(("apply", "map_groups", "transform", "pipe"), f"{AGG}  # a new column beside the rows: pl.col('a').sum().over('key')"),
    **dict.fromkeys(("head", "tail", "nth", "cumcount", "filter"), "df.filter(pl.int_range(pl.len()).over('key') < 2)  # the first two rows of each group"),
    **dict.fromkeys(("groups", "get_group", "ngroups"), "df.filter(pl.col('key') == 1)  # one group's rows"),
    **dict.fromkeys(("prompt", "summarize", "ask"), "df.group_by('key').reduce_by(llm, 'Sum up {text}')  # one answer of all texts of a group"),
}

ASK_MODEL = "df.prompt(model, '{text}')  # of a classifier: df.classify(model.classifier(), None, 'text')"
MODEL: Mapping[str, str] = {
    **dict.fromkeys(("predict", "generate", "prompt", "ask", "pipeline", "transform", "chat"), ASK_MODEL),
    **dict.fromkeys(("save", "save_model", "save_pretrained"), "model.export('model')"),
    **dict.fromkeys(("train", "collect", "run", "compute"), "model.fit()"),
    **dict.fromkeys(("evaluate", "history", "loss", "log", "log_history"), "model.metrics()"),
    **dict.fromkeys(("encode", "embed"), "df.embed(model.embedder(), 'text')"),
    **dict.fromkeys(("publish_to_hf_hub", "upload"), "model.push_to_hub('me/model', dry_run=True)"),
    "config": "model.summary()",
}

FILES = ("csv", "parquet", "json", "ndjson", "text", "ipc")
MODULE: Mapping[str, str] = {
    **{f"read_{kind}": f"dr.scan_{kind}('rows.{kind}')" for kind in FILES},
    **dict.fromkeys(("read_jsonl", "scan_jsonl"), "dr.scan_ndjson('rows.ndjson')"),
    **dict.fromkeys(("read_txt", "scan_txt", "read_lines"), "dr.scan_text('rows.text')"),
    **dict.fromkeys(("read_feather", "read_arrow", "scan_arrow"), "dr.scan_ipc('rows.ipc')"),
    "read_excel": "dr.scan_excel('rows.xlsx')",
    **dict.fromkeys(("read_sql", "read_sql_query", "read_database"), "dr.scan_database('select * from rows', connection)  # or its address"),
    **dict.fromkeys(("read_database_uri", "read_sql_table"), "dr.scan_database('select * from rows', 'sqlite:///rows.db')"),
    "read_delta": "dr.scan_delta('rows')",
    "read_pickle": "dr.frame(pd.read_pickle('rows.pickle'))",
    **dict.fromkeys(("DataFrame", "LazyFrame", "Dataset", "DataSource", "Table", "dataframe"), "dr.frame({'a': [1, 2]})"),
    **{f"from_{kind}": "dr.frame([{'a': 1}])" for kind in ("dict", "dicts", "pandas", "polars", "arrow", "records", "list", "dataset", "pydict")},
    **dict.fromkeys(("load_dataset", "scan_huggingface", "read_hub", "HFHubDataSource"), "dr.scan_hub('org/name', split='train')"),
    "load_from_disk": "dr.scan_hf_disk('rows')",
    **dict.fromkeys(("merge", "join"), "df.join(other, on='key')"),
    **dict.fromkeys(("ask", "chat", "generate_text"), ASK),
    **dict.fromkeys(("filter", "map"), "df.filter(pl.col('a') > 1)  # verbs belong to a frame"),
    "collect": "df.collect()",
    "Client": "dr.LLM  # to make a model of your own; dr.OpenAI and dr.SmolLM2 are models",
    "Prompt": "dr.Instruct('Sum up.', input='text')  # one of your own: from dreamframe.prompts.base import Prompt",
    **dict.fromkeys(("ChatOpenAI", "GPT", "GPT4", "ChatGPT"), "dr.OpenAI('gpt-4o-mini')"),
    "Claude": "dr.Anthropic('claude-sonnet-4-5')",
    **dict.fromkeys(("HuggingFace", "HFTransformers", "AutoModelForCausalLM", "HF"), "dr.Transformers('org/name')"),
    **dict.fromkeys(("TrainHFFineTune", "SFTTrainer"), "dr.SFT(dr.SmolLM2())"),
    "DPOTrainer": "dr.DPO(dr.SmolLM2())",
    "DataDreamer": "dr.Session('./output')",
    "extract": "df.extract(llm, {'city': str}, 'text')",
    "classify": "df.classify(llm, ['good', 'bad'], 'text')",
    "judge": "df.judge(llm, a='text', b='b')",
}
