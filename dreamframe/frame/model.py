"""A model that a plan trains: lazy until it is fitted, and an edge of every plan that asks it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from dreamframe.errors import SettingError
from dreamframe.frame.cite import cited
from dreamframe.frame.habits import ModelHabits
from dreamframe.frame.tracebacks import short_in
from dreamframe.frame.value import Value
from dreamframe.models.base import LLM
from dreamframe.models.edges import Trained, as_edge
from dreamframe.models.reach import under
from dreamframe.plan.optimizer.choice import Optimize
from dreamframe.plan.steps.train import Train
from dreamframe.run.active import current
from dreamframe.run.confirm import need_confirmed
from dreamframe.run.options import Mode
from dreamframe.run.ready import need

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from dreamframe.hub.push import Published
    from dreamframe.models.embedders.base import Embedder
    from dreamframe.models.task_models.base import TaskModel
    from dreamframe.plan.estimate import Estimate
    from dreamframe.plan.page import Explained


@short_in
class Model(Value, ModelHabits):
    """The result of `df.train(...)`. Nothing is trained until `.fit()`, or until a plan that asks it is collected.

    Pass it on: `df.prompt(model, "…")`, with settings `model.llm(temperature=0)`, or `dr.Transformers(base, adapter=model)`.

    >>> rows = dr.frame({"q": ["2+2?"], "a": ["4"]})
    >>> model = rows.train(dr.SFT("base", steps=2), prompt="q", completion="a")
    >>> print(rows.prompt(model.llm(), "{q}", into="tuned").explain())
    PROMPT tuned ← sft '{q}'
      [1] TABLE 1 rows
      TRAIN SFT base on completion=a prompt=q
        [1] as above
    """

    __slots__ = ("step",)
    step: Train

    def __init__(self, step: Train) -> None:
        self.step = step

    def fit(self, *, optimize: Optimize = True, confirm: float | None = None) -> Model:
        """Train now, unless the same rows and settings were trained before. Gives the model itself. `optimize` and `confirm` as of `df.collect`: what is
        estimated is what the rows that it is trained on cost, not what a provider takes for a training."""
        session = current(self.step)
        need_confirmed(lambda: session.estimate(self.step, optimize=optimize), confirm, where="fit")
        session.fit(self.step, optimize=optimize)
        return self

    @property
    def path(self) -> Path:
        """The folder of the artefact; trains if need be."""
        return Path(current(self.step).fit(self.step).path)

    def llm(self, **settings: Any) -> LLM:
        """The tuned model as an LLM for prompts; settings as of `dr.Transformers`. Raises SettingError where it is not one."""
        return under(self.step.trainer.as_llm(Trained(self.step), **settings), self.step.trainer.authority)

    def summary(self) -> dict[str, Any]:
        """What the training recorded: rows, steps, losses, times; trains if need be."""
        return current(self.step).training_record(self.step)

    def embedder(self, **settings: Any) -> Embedder:
        """The tuned model as an embedder; settings as of `dr.SentenceTransformer`. Raises SettingError where it is not one."""
        return under(self.step.trainer.as_embedder(Trained(self.step), **settings), self.step.trainer.authority)

    def classifier(self, **settings: Any) -> TaskModel:
        """The tuned model for `df.classify(model.classifier(), None, "text")`; settings as of `dr.HFClassifier`. Raises SettingError where it is not one."""
        return under(self.step.trainer.as_classifier(Trained(self.step), **settings), self.step.trainer.authority)

    def reward(self, **settings: Any) -> TaskModel:
        """The tuned model for `df.classify(model.reward(), None, "text", into="r")`, which puts the reward into `r_score`. Raises SettingError."""
        return under(self.step.trainer.as_reward(Trained(self.step), **settings), self.step.trainer.authority)

    def metrics(self) -> pl.DataFrame:
        """The training log: a row for each entry, with `step`, `epoch` and every number that was logged; trains if need be."""
        from dreamframe.store.models import metrics_of

        log = metrics_of(self.path)
        return pl.DataFrame() if log is None else log

    def plot(self) -> Figure:
        """The losses (and the reward, if there is one) over the steps, as a matplotlib figure. Raises MissingExtraError without matplotlib."""
        from dreamframe.trainers.plot import curves

        need("matplotlib", needed_for="model.plot()", extra="viz")
        return curves(self.metrics(), title=self.step.trainer.summary)

    def export(self, path: str | Path, *, merge: bool = True) -> Path:
        """Write the model to a folder of its own; trains if need be. `merge` lays an adapter into its weights, so that any program can load it.

        For a GGUF file, run `convert_hf_to_gguf.py` of llama.cpp over the folder: no package on PyPI that is kept by its makers converts.

        Raises SettingError where `path` exists and is not an empty folder.
        """
        from dreamframe.trainers.export import export

        resolved = self.step.trainer.resolve(lambda model: current(model.step).fit(model.step))
        return export(resolved, self.path, Path(path).expanduser(), merge=merge)

    def push_to_hub(
        self,
        repo: str,
        *,
        merge: bool = False,
        adapter_only: bool = False,
        private: bool = False,
        card: bool = True,
        plan: bool = True,
        branch: str | None = None,
        dry_run: bool = False,
        token: str | None = None,
    ) -> Published:
        """Publish the model on the Hub; trains if need be. An adapter is published as one, or, with `merge`, laid into its weights.

        `adapter_only` refuses to publish whole weights. Left out are training_args.bin (a pickle), checkpoints and every path of this machine; the
        README is that of `model.card`, and with `plan` the plan goes along as dreamframe.json, for `dr.from_hub`. One commit, as of
        `df.push_to_hub`, whose other arguments these are.

        Raises SettingError for `adapter_only` of whole weights, MissingExtraError without huggingface_hub, HubError for what the Hub refuses.
        """
        from dreamframe.hub import push as publish

        if not dry_run:
            need("huggingface_hub", needed_for="push_to_hub", extra="hub")
        folder, readme = self.path, self.card(repo) if card else None
        if adapter_only and (merge or not (folder / "adapter_config.json").exists()):
            raise SettingError("push_to_hub: adapter_only=True, but whole weights would be published: the model is not an adapter, or merge=True.")
        base = getattr(self.step.trainer, "base_name", None)
        send: dict[str, Any] = {"kind": "model", "private": private, "branch": branch, "token": token, "dry_run": dry_run}
        send["message"] = "Upload a model trained with dreamframe"
        beside = current(self.step).published(self.step) if plan else {}
        if not merge:
            return publish.push({**publish.model_files(folder, readme, base=base), **beside}, repo, **send)
        with publish.merged_folder() as whole:
            return publish.push({**publish.model_files(self.export(whole, merge=True), readme, base=base), **beside}, repo, **send)

    def cite(self, *, license: str | None = None, citation: str | None = None, url: str | None = None, name: str | None = None) -> Model:
        """Say under which licence this model stands, what to cite for it, and where it comes from, as `df.cite` does of rows. No key changes.

        >>> model = dr.frame({"q": ["2+2?"], "a": ["4"]}).train(dr.SFT("gpt2", steps=2), prompt="q", completion="a").cite(license="apache-2.0")
        >>> model.card("me/adder").splitlines()[1]
        'license: "apache-2.0"'
        """
        return Model(cited(self.step, license=license, citation=citation, url=url, name=name))

    def card(self, repo: str | None = None) -> str:
        """README.md of the model, with YAML front matter for the Hub: its training, its rows, their sources and licences. Trains nothing.

        >>> model = dr.frame({"q": ["2+2?"], "a": ["4"]}).train(dr.SFT("gpt2", steps=2), prompt="q", completion="a")
        >>> "Planned, not trained yet" in model.card("me/adder")
        True
        """
        return current(self.step).card(self.step, repo=repo)

    def to_json(self) -> str:
        """The plan as text: see `df.to_json`.

        >>> model = dr.frame({"q": ["2+2?"], "a": ["4"]}).train(dr.SFT("gpt2", steps=2), prompt="q", completion="a")
        >>> dr.from_json(model.to_json()).explain() == model.explain()
        True
        """
        from dreamframe.plan.json.text import to_json

        return to_json(self.step)

    def explain(self, *, optimized: Optimize = True, rules: bool = False, cost: bool = False) -> Explained:
        """The plan as text, the training first: as `df.explain`."""
        from dreamframe.frame.looking import explained

        return explained(self.step, optimized=optimized, rules=rules, cost=cost)

    def estimate(self, *, probe: int = 0, mode: Mode = "calls", optimize: Optimize = True) -> Estimate:
        """What is left to pay for the rows that the model is trained on, as `df.estimate`. A provider's own price of a training is not in it."""
        from dreamframe.frame.looking import estimated

        return estimated(self.step, probe, mode, optimize)

    def __repr__(self) -> str:
        from dreamframe.frame.looking import model_text

        return model_text(self.step)

    def _repr_html_(self) -> str:
        from dreamframe.plan.page import plan_html

        return plan_html(self.step, "<div>Model, trained by</div>", "lazy: .fit() trains it, unless it was trained before.")


@as_edge.register
def _(value: Model) -> Trained:
    return Trained(value.step)
