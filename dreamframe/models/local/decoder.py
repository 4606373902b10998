"""Between requests and tokens: chat templates, limits, sampling settings and grammars in, text out. Imports torch: for worker threads only."""

from __future__ import annotations

import gc
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from dreamframe.errors import BadReplyError, BadRequestError, CallError, ContextLengthError, MissingExtraError
from dreamframe.models.local.beams import Beams, search
from dreamframe.models.local.chat_template import drops_system, template_of
from dreamframe.models.local.chat_tokens import bias_of_tokens, has_channels, prompt_tokens, text_of_tokens, with_opening
from dreamframe.models.local.constrained import grammar
from dreamframe.models.local.cores import free_cores
from dreamframe.models.local.decode_loop import Row, generate
from dreamframe.models.local.ends import Stops, end_ids
from dreamframe.models.local.loading import Loaded, free_memory, is_out_of_memory
from dreamframe.models.local.weighing import weigh
from dreamframe.models.menu import answers_of, weighed_texts
from dreamframe.models.request import Completion, Question, Request

LONGEST_ANSWER = 2048  # tokens, where neither the request nor the model sets a limit
EXPECTED_ANSWER = 256  # tokens that such an answer counts in the budget
CPU_TOKENS, GPU_TOKENS = 4096, 32768  # a batch's budget, padding and answers included


@dataclass
class Prepared:
    """A request as tokens."""

    request: Request
    prompt: list[int]
    max_new: int
    length: int  # tokens that it counts in the budget: prompt and answer
    is_wanted: bool = True


def default_budget(model: Any) -> int:
    """Tokens of a batch: small sorted batches win on a CPU, large ones on a GPU."""
    return CPU_TOKENS if is_on_cpu(model) else GPU_TOKENS


def is_on_cpu(model: Any) -> bool:
    return bool(model.get_input_embeddings().weight.device.type == "cpu")


class Decoder:
    """A loaded model that answers batches of prepared requests."""

    def __init__(self, loaded: Loaded, *, label: str, chat_template: str | None, threads: int | None = None) -> None:
        self._model, self._tokenizer = loaded.model, loaded.tokenizer
        self._is_seq2seq, self._context = loaded.is_seq2seq, loaded.context
        self._label = label
        self._template = template_of(loaded.tokenizer, chat_template, label)
        self._has_channels = has_channels(loaded.tokenizer)
        self._drops_system = drops_system(loaded.tokenizer, self._template)
        self._defaults = getattr(loaded.model, "generation_config", None)
        self._ends = end_ids(loaded.tokenizer, self._defaults, None if self._has_channels or loaded.is_seq2seq else self._template)
        self._threads = threads or (free_cores() if is_on_cpu(loaded.model) else None)
        self._matchers: dict[str, Any] = {}
        self._texts: dict[str, list[list[int]]] = {}
        self._grammar_tokens: Any = None
        self.closing = threading.Event()

    is_out_of_memory = staticmethod(is_out_of_memory)

    def release(self) -> None:
        """Let go of the weights."""
        self._model = self._tokenizer = None
        self._matchers.clear()
        gc.collect()
        free_memory()

    # Requests to tokens

    def prepare(self, request: Request) -> Prepared:
        """Tokens of a request, and its limits. Raises ContextLengthError where nothing could be answered."""
        sampling = request.question.sampling
        texts = self._texts_of(request.question) if request.question.labels else []
        prompt = prompt_tokens(self._tokenizer, self._template, request, who=self._label, drops_system=self._drops_system)
        room = None if self._context is None else self._context - (0 if self._is_seq2seq else len(prompt))
        if self._context is not None and (len(prompt) > self._context or (room is not None and room < 1)):
            raise ContextLengthError(f"{self._label}: the prompt has {len(prompt)} tokens, and the model reads {self._context} with its answer")
        if texts:
            longest = max(map(len, texts))
            if room is not None and room < longest:
                raise ContextLengthError(f"{self._label}: the prompt has {len(prompt)} tokens, and the model reads {self._context} with a label")
            return Prepared(request, prompt, longest, (len(prompt) + longest) * len(texts))
        own = getattr(self._defaults, "max_new_tokens", None)
        asked = sampling.max_tokens or own or LONGEST_ANSWER
        max_new = min(asked, room) if room is not None else asked
        expected = max_new if sampling.max_tokens else min(max_new, EXPECTED_ANSWER)
        return Prepared(request, prompt, max_new, (len(prompt) + expected) * sampling.extras().get("num_beams", 1))

    # Batches to answers

    def answer(self, batch: Sequence[Prepared]) -> list[Completion | CallError]:
        """The answers to a batch, in order."""
        if self._threads is not None:
            torch.set_num_threads(self._threads)  # of this thread's work only
        if any(p.request.question.labels for p in batch):
            return self._answer_apart(batch)
        rows = [self._row(p) for p in batch]
        broken = [r if isinstance(r, CallError) else None for r in rows]
        live = [(p, r) for p, r in zip(batch, rows, strict=True) if isinstance(r, Row)]
        if live:
            try:
                self._decode(live)
            except Exception as exc:
                if is_out_of_memory(exc):
                    gc.collect()
                    free_memory()
                raise
        return [broken[i] or self._completion(p, r) for i, (p, r) in enumerate(zip(batch, rows, strict=True))]  # type: ignore[arg-type]

    def _answer_apart(self, batch: Sequence[Prepared]) -> list[Completion | CallError]:
        """The answers to a batch in which some ask how likely labels are: those of each question together, and all others."""
        groups: dict[str, list[int]] = {}
        for i, p in enumerate(batch):
            groups.setdefault(p.request.question.digest if p.request.question.labels else "", []).append(i)
        answers: dict[int, Completion | CallError] = {}
        for digest, places in groups.items():
            held = [batch[i] for i in places]
            answers |= zip(places, self._weighed(held) if digest else self.answer(held), strict=True)
        return [answers[i] for i in range(len(batch))]

    def _weighed(self, batch: Sequence[Prepared]) -> list[Completion | CallError]:
        """How likely each label is, for requests of one question."""
        question = batch[0].request.question
        texts, labels, closed = self._texts_of(question), question.labels, self.closing.is_set()
        if closed:
            return [BadReplyError(f"{self._label}: the answer was given up before its end") for _ in batch]
        logs = weigh(self._model, [p.prompt for p in batch], texts, pad=self._tokenizer.pad_token_id or 0, decoder_start=self._start())
        n_out = max(map(len, texts))
        return [Completion(weighed_texts(labels, log), n_in=len(p.prompt), n_out=n_out, model=self._label) for p, log in zip(batch, logs, strict=True)]

    def _texts_of(self, question: Question) -> list[list[int]]:
        """The tokens of each answer that a question allows. Raises BadRequestError where the vocabulary cannot write them."""
        if (known := self._texts.get(question.digest)) is None:
            known = [list(self._tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]) for text in answers_of(question)]
            unknown = self._tokenizer.unk_token_id
            if len(set(map(tuple, known))) < len(known) or any(unknown is not None and unknown in text for text in known):
                raise BadRequestError(f"{self._label}: its vocabulary cannot write {answers_of(question)[0]}, so it tells no probabilities of labels")
            self._texts[question.digest] = known
        return known

    def _decode(self, rows: Sequence[tuple[Prepared, Row]]) -> None:
        """Rows with their answers: those that are searched for by beams in groups of the same settings, all others together."""
        groups: dict[tuple[Any, ...], list[Row]] = {}
        for prepared, row in rows:
            extras = prepared.request.question.sampling.extras()
            beams = Beams.of(extras, row) if extras.get("num_beams", 1) > 1 else None
            groups.setdefault((beams,), []).append(row)
        pad, start = self._tokenizer.pad_token_id or 0, self._start()
        for (beams,), found in groups.items():
            if beams is None:
                generate(self._model, found, pad=pad, decoder_start=start, on_step=self.closing.is_set)
            else:
                search(self._model, found, beams, pad=pad, decoder_start=start, on_step=self.closing.is_set)

    def _start(self) -> list[int] | None:
        """What a decoder starts from; None for a model without encoder."""
        if not self._is_seq2seq:
            return None
        config, defaults = self._model.config, self._defaults
        first = next(
            i
            for i in (getattr(defaults, "decoder_start_token_id", None), getattr(config, "decoder_start_token_id", None), self._tokenizer.bos_token_id, 0)
            if i is not None
        )
        forced = getattr(defaults, "forced_bos_token_id", None)
        return [first] if forced is None else [first, forced]

    def _row(self, prepared: Prepared) -> Row | CallError:
        question = prepared.request.question
        matcher = None
        if question.json_schema is not None:
            matcher = self._matcher(question.json_schema)
            if isinstance(matcher, CallError):
                return matcher
        return Row(
            prompt=prepared.prompt,
            max_new=prepared.max_new,
            ends=self._ends,
            seed=prepared.request.seed,
            grammar=matcher,
            is_stopped=self._stops(question.sampling.stop).is_met if question.sampling.stop else None,
            is_wanted=lambda: prepared.is_wanted,
            bias=bias_of_tokens(self._tokenizer, question.sampling.logit_bias or ()),
            presence_penalty=question.sampling.presence_penalty or 0.0,
            frequency_penalty=question.sampling.frequency_penalty or 0.0,
            min_new=min(question.sampling.extras().get("min_new_tokens", 0), prepared.max_new),
            ngram=question.sampling.extras().get("no_repeat_ngram_size", 0),
            read=() if self._is_seq2seq else prepared.prompt,
            **self._sampling(question),
        )

    def _sampling(self, question: Question) -> dict[str, Any]:
        """Temperature and its kin: of the request, else of the model's generation config, else greedy."""
        sampling, extras, defaults = question.sampling, question.sampling.extras(), self._defaults
        samples = bool(getattr(defaults, "do_sample", None))

        def of(name: str, given: Any, neutral: float) -> Any:
            if given is not None:
                return given
            own = getattr(defaults, name, None) if samples else None
            return neutral if own is None else own

        return {
            "temperature": of("temperature", sampling.temperature, 1.0 if samples or sampling.top_p is not None else 0.0),
            "top_p": of("top_p", sampling.top_p, 1.0),
            "top_k": int(of("top_k", extras.get("top_k"), 0)),
            "min_p": of("min_p", extras.get("min_p"), 0.0),
            "repetition_penalty": extras.get("repetition_penalty") or getattr(defaults, "repetition_penalty", None) or 1.0,
        }

    def _stops(self, stops: Sequence[str]) -> Stops:
        return Stops(self._tokenizer, stops, self._text)

    def _matcher(self, json_schema: str) -> Any:
        """A fresh llguidance matcher for a schema, or the error of a schema that it cannot hold a model to."""
        if json_schema not in self._matchers:
            try:
                from llguidance import LLMatcher
                from llguidance.hf import from_tokenizer
            except ImportError as exc:
                raise MissingExtraError("llguidance", extra="local", needed_for=f"schema= with {self._label}") from exc
            if self._grammar_tokens is None:
                self._grammar_tokens = from_tokenizer(self._tokenizer, eos_token=sorted(self._ends) or None)
            matcher = LLMatcher(self._grammar_tokens, grammar(json_schema), log_level=0)
            refused = BadRequestError(f"{self._label}: the schema cannot be decoded under: {matcher.get_error()}") if matcher.is_error() else None
            self._matchers[json_schema] = refused or matcher
        matcher = self._matchers[json_schema]
        return matcher if isinstance(matcher, CallError) else matcher.deep_copy()

    # Tokens to text

    def _text(self, tokens: Sequence[int]) -> str:
        return text_of_tokens(self._tokenizer, tokens, with_channels=self._has_channels)

    def _completion(self, prepared: Prepared, row: Row) -> Completion | CallError:
        if row.finish == "cancelled" or row.finish is None:
            return BadReplyError(f"{self._label}: the answer was given up before its end")
        stops = prepared.request.question.sampling.stop
        text = self._stops(stops).cut(row.tokens) if stops else self._text(row.tokens)
        text = with_opening(text, row.prompt, self._tokenizer, prepared.request)
        return Completion(text, finish=row.finish, n_in=len(row.prompt), n_out=len(row.tokens), model=self._label)
