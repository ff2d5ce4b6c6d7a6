# make book · make test · make lab: each sets up all it needs in .venv. Windows: see README.md.

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install -qq --disable-pip-version-check
LOCKED := pyproject.toml requirements.lock

.PHONY: book pdf test frameworks lab chapters evidence interactive bench lock clean help

book: $(VENV)/book.done  ## build the book into _build/html (installs no torch)
	$(BIN)/jupyter-book build book/
	@echo "Open _build/html/index.html"

pdf: $(VENV)/all.done book  ## print the book and its article into _build/*.pdf (needs Chromium)
	$(BIN)/python tools/pdf.py

test: $(VENV)/all.done  ## lint, then every test: units, records, chapters, the built book
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo
	$(BIN)/mypy
	@# three files at a time, each on one thread: tests in a browser mostly wait
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --nbval -m "not slow" -n 3 --dist loadfile --durations=8

frameworks: $(VENV)/all.done  ## the tests with Lightning, Transformers and ONNX, which it installs
	@$(PIP) -r requirements.lock -r frameworks.lock
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/diagnostics/test_callbacks.py tests/models/test_programs.py

lab: $(VENV)/all.done  ## open the chapters in JupyterLab
	$(BIN)/jupyter lab --notebook-dir=book

chapters: $(VENV)/all.done  ## run the chapters (CHAPTER=cm: one) and store their outputs
	$(BIN)/python tools/chapters.py $(CHAPTER)

evidence: $(VENV)/all.done  ## after new records: renew the manifest, the claims' numbers, verdicts
	$(BIN)/python tools/evidence.py
	$(BIN)/python tools/chapters.py evidence evidence_causes predictions

interactive: $(VENV)/all.done  ## make the data of the figures that one can touch from the records
	$(BIN)/python tools/interactive.py

bench: $(VENV)/all.done  ## measure speed on an idle machine (TINY=1: only see that it runs)
	@mkdir -p _build
	$(BIN)/python -m pytest -q benchmarks -o addopts= --benchmark-quiet \
		--benchmark-json=_build/benchmarks.json $(if $(TINY),--tiny)
	$(BIN)/python benchmarks/table.py _build/benchmarks.json $(if $(TINY),,benchmarks/ratios.json)

lock: $(VENV)/all.done  ## renew both locks within the bounds of pyproject.toml
	$(PIP) uv
	$(BIN)/python tools/lock.py

clean:  ## remove what these commands made; records and stored outputs stay
	rm -rf _build $(VENV) build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis

help:  ## list the commands
	@grep -E '^[a-z]+:.*##' Makefile | sed -E 's/:[^#]*##/\t/'

# pip 25.1 and newer read the dependency groups of pyproject.toml.
$(VENV)/pip.done:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer with venv is needed: make PYTHON=/path/to/python3 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@$(PIP) "pip>=25.1"
	@touch $@

$(VENV)/book.done: $(VENV)/pip.done $(LOCKED)
	@echo "Installing what the book needs into $(VENV) ..."
	@$(PIP) --group book -c requirements.lock
	@touch $@

$(VENV)/all.done: $(VENV)/pip.done $(LOCKED)
	@echo "Installing everything into $(VENV), PyTorch included: several gigabytes ..."
	@$(PIP) -r requirements.lock -e ".[all]"
	@touch $@ $(VENV)/book.done
