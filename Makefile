# Needs make and python3 (3.11 or newer); everything else is fetched into .venv.

PYTHON  ?= python3
WORKERS ?= $(shell n=$$(nproc 2>/dev/null || echo 2); [ "$$n" -gt 2 ] && echo "$$n" || echo 2)
VENV    := .venv
BIN     := $(VENV)/bin
PIP     := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help demo test check bench soak clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-7s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/bare ## See it work on a sample workspace, or on yours: make demo EXPORT=path/to/export.zip
	@$(BIN)/undercroft demo $${EXPORT:+--export "$$EXPORT"}

test: $(VENV)/full ## Run the tests on SQLite and PostgreSQL: make test ARGS="tests/archive -x"
	@$(BIN)/pytest -n $(WORKERS) --dist worksteal $(ARGS)

check: $(VENV)/full ## Check style, formatting, types, import rules and the schema's rules
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/pyright --pythonpath $(BIN)/python
	@$(BIN)/python -m undercroft.migrations.lint
	@$(BIN)/pytest --quiet tests/test_architecture.py

bench: $(VENV)/full ## Measure against the bare drivers: make bench ARGS="--help" lists what there is
	@$(BIN)/python -m benchmarks $(ARGS)

soak: $(VENV)/full ## Run the tests that take long; make soak SHORT=1 does a tenth of each
	@UNDERCROFT_SOAK_SHORT=$(SHORT) $(BIN)/pytest -m soak $(ARGS)

clean: ## Remove what the other targets made
	@rm -rf $(VENV) build dist .hypothesis .mypy_cache .pytest_cache .ruff_cache
	@find . -name __pycache__ -not -path './.git/*' -prune -exec rm -rf {} +

# The bare package and the developer's set share one environment; each is installed again when pyproject.toml changes.
$(VENV)/bare: pyproject.toml | $(BIN)/pip
	@echo "Installing undercroft into $(VENV) ..."
	@$(PIP) --editable .
	@touch $@

$(VENV)/full: pyproject.toml | $(BIN)/pip
	@echo "Installing undercroft and its tools into $(VENV) ..."
	@$(PIP) --editable '.[postgres,redis,slack,web,yaml,dev]'
	@touch $(VENV)/bare $@

# pip is the last thing a new environment receives: a half-made one is made again.
$(BIN)/pip:
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) not found: install Python 3.11 or newer, or name one with PYTHON=..."; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) is too old: undercroft needs Python 3.11 or newer; name one with PYTHON=..."; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) cannot make virtual environments: install python3-venv (Debian, Ubuntu: apt install python3-venv)"; exit 1; }
	@$(PYTHON) -m venv $(VENV)
