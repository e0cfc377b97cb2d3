# run: start the product   test: the fast tests   check: linters, types, fast tests
# test-live, test-web, faults, hostile, test-elections, test-mongodb: the other tiers (docs/testing.md)
# test-all: all of these   soak: ten minutes and more   coverage: lines covered by package
# format: rewrite Python and scripts as the formatters want them
# bench: the figures   audit: known vulnerabilities of the dependencies (needs the internet)
# three-pages: an example site that is tracked   npm: the client library as a package, in dist/

# The embedded database has wheels for Python 3.11 to 3.13: prefer one of these.
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
  $$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null \
  && echo $$python && break; done || true)
ifeq ($(strip $(PYTHON)),)
PYTHON := python3
endif
VENV := .venv
BIN := $(VENV)/bin
CODE := focusup realtime models routes scoring examples scripts
NODE_BIN := tests/node/node_modules/.bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -q

# Tests mostly wait, for seconds to pass and for processes to start: more of them than cores.
JOBS ?= 4
PYTEST := $(BIN)/python $(if $(COVERAGE),-m coverage run )-m pytest
BY_TEST := -n $(JOBS) --dist worksteal
BY_FILE := -n $(JOBS) --dist loadfile
# Of the group "load" one runs at a time: each takes a core.
BY_GROUP := -n $(JOBS) --dist loadgroup
SLOWEST := --durations=10 --durations-min=0.5

.PHONY: run three-pages test test-live test-web faults hostile test-elections test-mongodb
.PHONY: test-mongodb-all test-all soak
.PHONY: check format lint lint-scripts coverage audit bench npm clean
.DEFAULT_GOAL := run

run: $(VENV)/.run
	@exec $(BIN)/focusup serve

three-pages: $(VENV)/.run
	@exec $(BIN)/python -m examples.three_pages $(ARGS)

test: $(VENV)/.dev
	$(PYTEST) tests/unit tests/contract $(BY_TEST) $(SLOWEST) $(ARGS)

test-live: $(VENV)/.dev
	$(PYTEST) tests/live $(BY_TEST) $(SLOWEST) $(ARGS)

test-web: $(VENV)/.dev
	$(PYTEST) tests/web $(BY_FILE) $(SLOWEST) $(ARGS)

faults: $(VENV)/.dev
	$(PYTEST) tests/faults $(BY_GROUP) $(SLOWEST) $(ARGS)

# All rows of the matrix of attacks: half an hour, on a machine with nothing else to do.
hostile: $(VENV)/.dev
	HOSTILE=all $(PYTEST) tests/faults/test_hostile.py -k holds_up $(ARGS)

# The faults of a replica set, which start their own; then what runs on any database.
test-elections: $(VENV)/.dev
	$(PYTEST) tests/mongodb $(BY_FILE) $(SLOWEST) $(ARGS)

test-mongodb: $(VENV)/.dev
	$(BIN)/python -m tests.support.mongod -- \
	  $(PYTEST) tests/unit/models tests/contract $(BY_TEST) $(SLOWEST) $(ARGS)

# What runs in real time there, too: three quarters of an hour.
test-mongodb-all: test-elections
	$(BIN)/python -m tests.support.mongod -- $(PYTEST) tests/unit/models tests/contract \
	  tests/live tests/faults --ignore=tests/live/deploy --ignore=tests/live/database \
	  --ignore=tests/live/scripts $(BY_GROUP) $(SLOWEST) $(ARGS)

test-all: test test-live test-web faults test-elections test-mongodb

# After tiers that ran with COVERAGE=1.
coverage: $(VENV)/.dev
	$(BIN)/python -m tests.support.coverage

soak: $(VENV)/.dev
	$(PYTEST) tests/soak $(ARGS)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/bandit -q -c pyproject.toml -r $(CODE)
	@$(MAKE) -s lint-scripts

# Where Node and the packages are: `npm ci --prefix tests/node`. CI insists (REQUIRE_ALL).
lint-scripts:
	@if command -v node >/dev/null && [ -x $(NODE_BIN)/eslint ]; then \
	  $(NODE_BIN)/eslint --config tests/node/eslint.config.mjs . && \
	  $(NODE_BIN)/prettier --check --log-level warn . && $(NODE_BIN)/tsc -p jsconfig.json; \
	elif [ -n "$(REQUIRE_ALL)" ]; then \
	  echo "Scripts can't be linted: npm ci --prefix tests/node"; exit 1; \
	else echo "Scripts are not linted: npm ci --prefix tests/node"; fi

# Scripts only where Node and prettier are: `npm ci --prefix tests/node`.
format: $(VENV)/.dev
	$(BIN)/ruff check -q --select I --fix .
	$(BIN)/ruff format .
	@if command -v node >/dev/null && [ -x $(NODE_BIN)/prettier ]; then \
	  $(NODE_BIN)/prettier --write --log-level warn .; \
	else echo "Scripts are not formatted: npm ci --prefix tests/node"; fi

check: lint test

# --strict: a package that could not be looked up is a failure, not a package without faults.
audit: $(VENV)/.dev
	$(BIN)/pip-audit --strict --no-deps --disable-pip -r constraints.txt

bench: $(VENV)/.dev
	$(BIN)/python -m benchmarks $(ARGS)

npm: $(BIN)/python
	@$(BIN)/python scripts/pack_npm.py dist

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "FocusUp needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1). Try: make run PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info >= (3, 14))' || \
	  echo "$$($(PYTHON) --version) has no embedded database: nothing will be kept without MONGODB_URI. Python 3.11 to 3.13 has one: make run PYTHON=python3.13"
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: pyproject.toml constraints.txt $(BIN)/python
	@echo "Installing FocusUp into $(VENV) (once)"
	$(PIP) install -c constraints.txt -e '.[embedded]'
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt $(BIN)/python
	@echo "Installing FocusUp and its development tools into $(VENV) (once)"
	$(PIP) install -c constraints.txt -e '.[embedded,dev]'
	@touch $(VENV)/.run $@
