# `make help` lists what there is. Everything sets itself up: the first target that needs the virtualenv makes it.

# The first Python that is new enough; `make PYTHON=/path/to/python3.12 ...` chooses another.
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
VENV ?= .venv
PYTEST_ARGS ?=
# Tests wait for servers and for the clock, so one more than there are cores is no waste.
WORKERS ?= 3

BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input --quiet

# Somebody else's packages do not belong into our virtualenv.
unexport PYTHONPATH PYTHONHOME VIRTUAL_ENV
# Every worker and every server of the tests would compile everything anew.
unexport PYTHONDONTWRITEBYTECODE
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: $(INSTALLED) ## Make the virtualenv .venv with the pinned dependencies

$(INSTALLED): requirements-dev.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "Cronally needs Python 3.11 or newer: install it, or say make PYTHON=/path/to/it" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "$(PYTHON) is older than Python 3.11, or does not run: say make PYTHON=/path/to/a/newer/one" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "$(PYTHON) cannot make virtualenvs: install its venv module (Debian: apt install python3-venv)" >&2; exit 1; }
	@echo "Setting up $(VENV) (once; takes a minute)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) install --require-hashes --only-binary :all: -r requirements-dev.txt
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

.PHONY: demo
demo: $(INSTALLED) ## See a cron job fire: server, SNS and SQS, CLI, all real, in under 100 s
	@$(BIN)/python -m scripts.demo

.PHONY: test
test: check ## Lint, types and all tests but the slow ones, on SQLite and PostgreSQL
	$(PYTEST) -m "not slow" $(PYTEST_ARGS)

.PHONY: test-all
test-all: check test-oldest ## Lint, types and all tests, the whole matrix, and the oldest dependencies
	$(PYTEST) --hypothesis-profile=search $(PYTEST_ARGS)

PYTEST = $(BIN)/pytest --numprocesses $(WORKERS) --dist worksteal

.PHONY: test-oldest
test-oldest: $(INSTALLED) ## Test with the lowest versions that pyproject.toml allows, really installed in .venv-oldest
	@$(PIP) install 'uv>=0.9'
	@mkdir -p build
	$(BIN)/uv $(COMPILE_OLDEST) --resolution lowest-direct pyproject.toml --extra server -o build/oldest.txt
	@# What the tests need besides: the locked versions, as far as they go together with the oldest.
	@cp requirements-dev.txt build/oldest-dev.txt
	$(BIN)/uv $(COMPILE_OLDEST) build/oldest.txt --group dev -o build/oldest-dev.txt
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(OLDEST)
	$(BIN)/uv pip sync --quiet --python $(OLDEST)/bin/python --only-binary :all: build/oldest-dev.txt
	$(BIN)/uv pip install --quiet --python $(OLDEST)/bin/python --no-deps --no-build-isolation --editable .
	$(OLDEST)/bin/pytest -p no:anyio --numprocesses $(WORKERS) --dist worksteal -m "not slow" $(TESTED_OLDEST)

# uv trusts the certificates of the machine, as pip does.
test-oldest: export UV_SYSTEM_CERTS = true

OLDEST = .venv-oldest
COMPILE_OLDEST = pip compile --quiet --no-emit-index-url --python $(BIN)/python
# What stands on a dependency: the API, the CLI, the client, stores, targets, and a server as a process.
TESTED_OLDEST = tests/api tests/cli tests/client tests/server tests/store tests/targets tests/acceptance/test_main_path.py

.PHONY: coverage
coverage: $(INSTALLED) ## Measure which lines and branches of src/ the tests of `make test` reach, real servers included
	@rm -f .coverage .coverage.*
	$(BIN)/coverage run -m pytest --numprocesses $(WORKERS) --dist worksteal -m "not slow" --quiet $(PYTEST_ARGS)
	@$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

.PHONY: check
check: $(INSTALLED) ## Lint, types, the written documents, version and lock files only
	$(BIN)/ruff format --check --quiet || { echo "make fmt formats these files" >&2; exit 1; }
	$(BIN)/ruff check --quiet
	$(BIN)/mypy
	@$(BIN)/python -m scripts.written --check
	@$(BIN)/python -m scripts.release_check

.PHONY: fmt
fmt: $(INSTALLED) ## Format the code and mend what can be mended
	$(BIN)/ruff check --fix-only --quiet
	$(BIN)/ruff format

.PHONY: serve
serve: $(INSTALLED) ## Run a server on SQLite: http://127.0.0.1:8000
	$(BIN)/cronally serve

.PHONY: bench
bench: $(INSTALLED) ## Measure: 20,000 cron jobs due at one instant, on SQLite and on PostgreSQL
	$(BIN)/python -m benchmarks.storm

.PHONY: bench-attack
bench-attack: $(INSTALLED) ## Measure what an account that behaves notices while others do not
	$(BIN)/python -m benchmarks.attack --alone --seconds 30

.PHONY: bench-cron
bench-cron: $(INSTALLED) ## Measure: one fire time, beside cronsim, croniter and APScheduler
	$(BIN)/python -m benchmarks.clock

.PHONY: bench-forecast
bench-forecast: $(INSTALLED) ## Measure: what lies ahead of 100,000 cron jobs, and of one account
	$(BIN)/python -m benchmarks.forecast

.PHONY: docs
docs: $(INSTALLED) ## Write what is written from code: tables, openapi.json, cli.md, the synchronous client
	$(BIN)/python -m scripts.written

.PHONY: lock
lock: $(INSTALLED) ## Compile the lock files anew from pyproject.toml (UPGRADE=--upgrade for newer versions)
	@$(PIP) install 'uv>=0.9'
	$(BIN)/uv $(COMPILE) -o requirements.txt
	$(BIN)/uv $(COMPILE) --group dev -o requirements-dev.txt

COMPILE = pip compile --quiet $(UPGRADE) --universal --generate-hashes --no-emit-index-url --python-version 3.11 \
	pyproject.toml --extra server

.PHONY: clean
clean: ## Remove the virtualenv and every cache
	rm -rf $(VENV) $(OLDEST) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage .coverage.*
	find src tests benchmarks scripts -name __pycache__ -type d -prune -exec rm -rf {} +
