"""n prompts through data-designer, resumed where it can, to Parquet: `python ask_with_data_designer.py URL N FOLDER IN_FLIGHT`. Runs in its own environment."""

import os
import sys
from pathlib import Path

url, n, folder, in_flight = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
os.environ.update({"OPENAI_API_KEY": "none", "NEMO_TELEMETRY_ENABLED": "false", "DATA_DESIGNER_HOME": str(folder / "home"), "HF_HUB_OFFLINE": "1"})

import data_designer.config as dd  # noqa: E402  the environment decides what it imports
import pandas as pd  # noqa: E402
from data_designer.interface import DataDesigner  # noqa: E402

PROMPT = "Give one word for row {{ i }}, which says: the quick brown fox jumps over the lazy dog, again and again, until somebody counts."

model = dd.ModelConfig(
    alias="m",
    model="gpt-4o-mini",
    provider="local",
    inference_parameters=dd.ChatCompletionInferenceParams(max_parallel_requests=in_flight),
    skip_health_check=True,
)
config = dd.DataDesignerConfigBuilder(model_configs=[model])
config.with_seed_dataset(dd.DataFrameSeedSource(df=pd.DataFrame({"i": range(n)})))
config.add_column(dd.LLMTextColumnConfig(name="answer", model_alias="m", prompt=PROMPT))
provider = dd.ModelProvider(name="local", endpoint=url, provider_type="openai", api_key="none")
designer = DataDesigner(artifact_path=folder / "artifacts", model_providers=[provider])
rows = designer.create(config, num_records=n, dataset_name="bench", resume=dd.ResumeMode.IF_POSSIBLE).load_dataset()
rows.to_parquet(folder / "out.parquet")
assert len(rows) == n
