# `make help` lists the verbs. Everything runs from the project's own environment in .venv.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
UV := $(shell command -v uv 2>/dev/null)
# The tests start hundreds of processes: without it, each compiles all that it imports.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test lint types imports check bench bench-kill bench-fuzz lock clean

help: ## list the verbs
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

# uv is used where present, and brought into the project's own environment where not.
$(STAMP): pyproject.toml requirements-dev.txt
ifeq ($(UV),)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet -r requirements-dev.txt
	VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --no-deps -e .
else
	test -x $(BIN)/python || uv venv --quiet --python $(PYTHON) $(VENV)
	VIRTUAL_ENV=$(VENV) uv pip install --quiet -r requirements-dev.txt
	VIRTUAL_ENV=$(VENV) uv pip install --quiet --no-deps -e .
endif
	-$(BIN)/python -m fluxtrail.web.pages.vendoring
	-$(BIN)/python -m fluxtrail.web.pages.vendoring --for tests --into $(VENV)/vendor
	touch $@

demo: $(STAMP) ## follow commits through three simulated clusters, live
	$(BIN)/fluxtrail demo

# Files side by side, twice as many as CI has cores: half of them wait for real processes, or for git, or a database.
test: $(STAMP) ## run the tests
	$(BIN)/pytest --numprocesses 4 --dist loadfile --no-loadscope-reorder

lint: $(STAMP) ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP) ## mypy --strict on sources, tests and benchmarks
	nice -n 5 $(BIN)/mypy

imports: $(STAMP) ## the layers of the house
	$(BIN)/lint-imports

# mypy, which takes a minute of one processor, goes on beside the tests; their summary comes last.
check: $(STAMP) ## everything CI runs
	$(MAKE) --no-print-directory --jobs=2 lint types imports test

bench: $(STAMP) ## every benchmark, figures on stdout
	$(BIN)/python -m benchmarks

bench-kill: $(STAMP) ## 200 seeded SIGKILLs against the truth log
	$(BIN)/python -m benchmarks.kill --kills 200

bench-fuzz: $(STAMP) ## a million damaged documents through every parser
	$(BIN)/python -m benchmarks.fuzz --cases 1000000 --workers 2

lock: ## renew requirements-dev.txt from pyproject.toml
	uv pip compile --quiet --universal --python-version 3.11 --all-extras --group dev --no-emit-index-url --no-emit-find-links --no-annotate pyproject.toml -o requirements-dev.txt

clean: ## remove the environment and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
