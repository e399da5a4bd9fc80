# make demo    the app of examples/instant, with a provider of its own, on http://127.0.0.1:$(PORT)
# make test    the whole test suite; ARGS="-k login" goes to pytest
# make check   what is true without running anything: lint, format, types, import contracts
# make docs    the documentation as HTML in build/docs
# make messages  the catalogues of the texts that visitors read, brought up to date and compiled
# make bench   what a login and an API call cost, beside the peers
# make build   sdist and wheel in dist/
# make clean   remove all of it, the environment too
#
# Each target makes the environment it needs: Python 3.11 or newer and a package index are enough.

PYTHON ?= python3
VENV ?= .venv
PORT ?= 5000
ARGS ?=
JOBS ?= 2

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: demo test check docs messages bench build clean
.DELETE_ON_ERROR:

$(BIN)/python:
	@$(PYTHON) -m venv $(VENV)

# The demo needs what a user of the package needs, and nothing else.
$(VENV)/.runtime: pyproject.toml | $(BIN)/python
	@echo "Preparing $(VENV) …"
	@$(PIP) install -e .
	@touch $@

$(VENV)/.dev: pyproject.toml | $(BIN)/python
	@echo "Preparing $(VENV) …"
	@$(PIP) install -e ".[dev]"
	@touch $@ $(VENV)/.runtime

demo: $(VENV)/.runtime
	@$(BIN)/python examples/instant/demo.py --port $(PORT)

test: $(VENV)/.dev
	$(BIN)/python -m pytest -n $(JOBS) --dist loadgroup --cov --cov-report=term --cov-report=html:build/coverage $(ARGS)

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(VENV)/.dev
	$(BIN)/python docs/generate.py
	$(BIN)/sphinx-build --fail-on-warning --keep-going --nitpicky -q docs build/docs
	@echo "build/docs/index.html"

messages: $(VENV)/.dev
	$(BIN)/python docs/messages.py

bench: $(VENV)/.dev
	$(BIN)/python benchmarks/run.py $(ARGS)

build: $(VENV)/.dev
	rm -rf dist
	$(BIN)/python -m build --outdir dist

clean:
	rm -rf $(VENV) build dist htmlcov .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
