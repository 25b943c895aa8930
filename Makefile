# Needs make and Python 3.11 or newer, nothing else. The environment in .venv is made on first use and again when its recipe changes.
PYTHON ?= $(shell for p in python3 python python3.14 python3.13 python3.12 python3.11; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { echo "$$p"; break; }; done)
# `make EXTRAS=dev,stats test` also installs lifelines (with numpy and pandas), an independent judge of the survival tables.
EXTRAS ?= dev
BIN := .venv/bin
STAMP := .venv/.made-from
# Tests and the demo bring their own; a person's settings must not change what they do.
CLEAN := env -u DAGSTER_HOME -u MUARA_HOME -u MUARA_LANDING -u MUARA_PROJECT -u MUARA_AS_OF DAGSTER_DISABLE_TELEMETRY=1

.PHONY: help env demo ui test lint clean

help: ## what can be made
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/ \t/' | expand -t 8

env: $(STAMP) ## the environment in .venv

$(STAMP): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "Muara needs Python 3.11 or newer; none was found. Name one: make PYTHON=/path/to/python3" >&2; exit 1; }
	@test -x $(BIN)/python || { echo "Making .venv with $(PYTHON) ..."; $(PYTHON) -m venv .venv; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip >/dev/null
	@echo "Installing Muara and its tools into .venv ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[$(EXTRAS)]"
	@touch $@

demo: $(STAMP) ## run the whole hub on sample data through Dagster and print the headline tables
	@$(CLEAN) $(BIN)/muara demo

ui: $(STAMP) ## Dagster's web pages on the demo project, http://127.0.0.1:3000
	@$(CLEAN) $(BIN)/muara demo --ui

test: $(STAMP) ## the whole test suite
	@$(CLEAN) $(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

lint: $(STAMP) ## style and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

clean: ## remove what make, tests and the demo made (not your projects)
	rm -rf .venv .demo dist build .hypothesis .mypy_cache .ruff_cache
