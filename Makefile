# `make demo` and `make test` each do all set-up; both are safe to run again and fast the second time.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

export DO_NOT_TRACK := 1
export DBT_SEND_ANONYMOUS_USAGE_STATS := false
export GX_ANALYTICS_ENABLED := false
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help setup demo test test-postgres chaos lint format ui bench lock clean

help: ## what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 22

$(STAMP): requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Mailwright needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Try: make PYTHON=python3.11") if sys.version_info < (3, 11) else 0'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing the locked packages into $(VENV) (a few minutes the first time) ..."
	@$(BIN)/python -m pip install -q --no-deps --require-hashes -r requirements/dev.txt
	@$(BIN)/python -m pip install -q --no-deps --no-build-isolation --no-index --config-settings editable_mode=compat -e .
	@touch $@

setup: $(STAMP) ## the virtual environment, from the lock

demo: $(STAMP) ## the whole main job on a simulated store, against a simulated ESP on this machine
	@$(BIN)/mailwright demo

test: $(STAMP) ## all tests
	$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

test-postgres: $(STAMP) ## every model on a local PostgreSQL too, marts compared row by row
	$(BIN)/python -m pytest -m postgres tests

chaos: $(STAMP) ## 100,000 people to each simulated ESP, with every fifth answer faulty (takes long)
	MAILWRIGHT_CHAOS=100000 $(BIN)/python -m pytest -s tests/reverse_etl/conformance/test_chaos.py

lint: $(STAMP) ## ruff, basedpyright, sqlfluff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright
	$(BIN)/sqlfluff lint -q --processes 2 dbt_project/models

format: $(STAMP) ## put the code in shape
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

ui: $(STAMP) ## Dagster's web UI on this project (the demo's warehouse, if there is one)
	@$(BIN)/mailwright ui

bench: $(STAMP) ## measurements; writes benchmarks/RESULTS.md
	$(BIN)/python -m benchmarks

lock: $(STAMP) ## pin every version with its hashes again (needs uv)
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-strip-extras --no-annotate --no-header --no-emit-index-url requirements/runtime.in -o requirements/runtime.txt
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-strip-extras --no-annotate --no-header --no-emit-index-url -c requirements/runtime.txt requirements/dev.in -o requirements/dev.txt

clean: ## remove what was built (not the virtual environment)
	rm -rf .mailwright dbt_project/target dbt_project/logs build *.egg-info .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
