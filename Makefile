# Everything runs in .venv, made anew when pyproject.toml changes. For another PYTHON: make clean first.

PYTHON ?= python3
# One more than there are cores: half of the time a test waits for a server, a disk or a clock.
JOBS ?= $(shell $(PYTHON) -c 'import os; print((os.cpu_count() or 1) + 1)')
PYTEST_ARGS ?=
BENCH_ARGS ?= --json .cache/bench.json --plot .cache/bench.png
UV ?= $(shell command -v uv 2>/dev/null)

# The earlier releases of agno that the tests run (tests/others), each on what is installed for the one in .venv.
AGNO := 1.8.4 2.5.0 2.9.0

BIN := .venv/bin
STAMP := .venv/.installed

.DEFAULT_GOAL := help
.PHONY: help demo test test-all bench lint types servers agno docs format build clean

help: ## Show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(STAMP) ## Show what the package does, on SQLite
	$(BIN)/python examples/demo.py

test: lint types servers agno ## Check everything, on all databases (DATABASES, JOBS and PYTEST_ARGS narrow it)
	$(BIN)/python -m pytest -n $(JOBS) $(PYTEST_ARGS)

test-all: export TEST_ALL = 1
test-all: test ## The same with the tests that take long

bench: .venv/.bench servers ## Measure what docs/performance.md promises (BENCH_ARGS narrows it)
	mkdir -p .cache
	$(BIN)/python -m bench $(BENCH_ARGS)

lint: $(STAMP) ## Check style, format and what the revisions do
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/agno-store lint

types: $(STAMP) ## Check types, as the oldest and the newest Python see them
	$(BIN)/mypy --python-version 3.10
	$(BIN)/mypy --python-version 3.14

servers: $(STAMP) ## Install the servers that the tests lack, if any
	$(BIN)/python -m tests.servers.install

agno: $(AGNO:%=.cache/agno-%) ## Install the earlier releases of agno that the tests run, if they lack any

.cache/agno-%: | $(STAMP)
	rm -rf $@.unfinished
ifneq ($(UV),)
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --target $@.unfinished agno==$*
else
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --target $@.unfinished agno==$*
endif
	mv $@.unfinished $@

docs: $(STAMP) ## Build the documentation as a site, in .cache/site/index.html
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict

format: $(STAMP) ## Put the code into its format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

build: $(STAMP) ## Build sdist and wheel in dist/, as PyPI takes them
	rm -rf dist
	$(BIN)/python -m build --installer uv
	$(BIN)/python -m twine check --strict dist/*

clean: ## Remove all that was made here
	rm -rf .venv .cache dist build .mypy_cache .pytest_cache .ruff_cache *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	  { echo 'Python 3.10 or later is needed; `$(PYTHON)` is not. Try: make PYTHON=python3.12' >&2; exit 1; }
ifneq ($(UV),)
	$(PYTHON) -m venv --clear --without-pip .venv
	$(UV) pip install --quiet --python $(BIN)/python -e '.[dev]'
else
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo '`$(PYTHON)` cannot make virtual environments. Try: apt-get install python3-venv' >&2; exit 1; }
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
endif
	touch $@

.venv/.bench: $(STAMP)
ifneq ($(UV),)
	$(UV) pip install --quiet --python $(BIN)/python -e '.[bench]'
else
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[bench]'
endif
	touch $@
