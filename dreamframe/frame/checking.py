"""Verbs that run programs and check answers."""

from __future__ import annotations

from typing import Literal, TypeVar

from dreamframe.errors import SettingError, need_name
from dreamframe.frame.base import Verbs
from dreamframe.models.habits import described
from dreamframe.plan.step import OnError
from dreamframe.plan.steps.verify import Verify
from dreamframe.prompts.verifier import Verifier

V = TypeVar("V", bound="CheckingVerbs")  # Self, as jedi understands it too


class CheckingVerbs(Verbs):
    """run_code, verify."""

    __slots__ = ()

    def run_code(
        self: V,
        column: str,
        tests: str | None = None,
        *,
        timeout: float = 5,
        memory: str | int = "512MB",
        language: Literal["python", "bash"] = "python",
        into: str = "run",
        on_error: OnError = "raise",
        name: str | None = None,
    ) -> V:
        """Run the program in each row, in a process of its own, and give what became of it: a struct of `ok`, `stdout`, `stderr`, `error` and `seconds`.

        `ok` is true where the program came to its end without an error, and its tests too. `error` says which limit ended it ("time: …", "memory: …",
        "processes: …", "output: …") or how it failed ("tests: AssertionError", "signal: …", "exit: …"); a program that fails is a result, and no failed row.
        `tests` is a column of code (or of lists of it) that is run after the program in the same names, as in HumanEval and MBPP; the program's
        `if __name__ == "__main__"` is then left out, and one that ends itself before its tests does not pass. Of a text that is not Python as it stands, the
        last block between ``` fences is run. Null code, or null tests, give null.

        Each program inherits no environment and no open file; its home is an empty folder that is gone afterwards. Limits: `timeout` in seconds, `memory` of
        each process ("512MB", "1GiB" or bytes, 64 MB at least), 64 processes, 256 open files, 64 MB of files; of each output 64 KiB are kept, and more than
        16 MiB ends it. Programs run on all cores at once. What keeps them from the network, from files and from other processes depends on the system:
        namespaces (`unshare`) or bubblewrap on Linux. It is tried out on first use, and what does not hold is told as a `dr.RunWarning`. Without namespaces,
        and on macOS and Windows, do not run programs that you would not run yourself. No isolation stops a program written to pretend that its tests passed.

        Results are kept like those of `map`: for the code, the tests, the limits, and the version of Python. `seconds` is the time by the clock.

        Raises ColumnNotFoundError, SchemaError for a column that is not text, and SettingError, when the plan is built.

        >>> df = dr.frame({"code": ["def inc(x): return x + 1", "def inc(x): return x"], "tests": ["assert inc(1) == 2"] * 2})
        >>> df.run_code("code", "tests").select(pl.col("run").struct.field("ok", "error")).to_dicts()
        [{'ok': True, 'error': None}, {'ok': False, 'error': 'tests: AssertionError'}]
        """
        where = name or "run_code"
        from dreamframe.models.sandbox.limits import bytes_of, seconds_of  # most plans run none
        from dreamframe.plan.steps.run_code import RunCode

        return self._over(
            RunCode(
                inputs=(self.step,), column=column, tests=tests, timeout=seconds_of(timeout, where=where), memory=bytes_of(memory, where=where),
                language=language, into=into, on_error=on_error, name=name,
            )
        )  # fmt: skip

    def verify(self: V, verifier: Verifier, into: str = "ok", *, on_error: OnError = "raise", name: str | None = None) -> V:
        """Add a column that is true where an answer is right, as one of `dr.verify` decides it. Where there is no answer it is false, without the truth null.

        The same object is a condition of `filter` and `until`, a reward of `dr.GRPO`, `dr.RLOO` and `dr.PPO`, and a metric of `evaluate`.

        Raises SettingError for anything else, ColumnNotFoundError and DuplicateColumnError when the plan is built.

        >>> df = dr.frame({"answer": ["It is 42.", "No idea"], "gold": ["42", "7"]})
        >>> df.verify(dr.verify.number("answer", "gold")).to_dicts()
        [{'answer': 'It is 42.', 'gold': '42', 'ok': True}, {'answer': 'No idea', 'gold': '7', 'ok': False}]
        """
        where = name or "verify"
        if not isinstance(verifier, Verifier):
            raise SettingError(f"{where}: {described(verifier)} is not one of dr.verify; write df.verify(dr.verify.number('answer', 'gold')).")
        need_name(into, step=where)
        return self._over(Verify(inputs=(self.step,), verifier=verifier, into=into, on_error=on_error, name=name))
