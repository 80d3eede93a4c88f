# make demo | make test | make check. Each makes .venv when it is missing; Python 3.11 or newer is all they need.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
TESTS ?= tests
PYTEST_OPTIONS ?=
# Several processes share the tests, file by file, the longest first (tests/conftest.py). PYTEST_OPTIONS=-n0 for one.
IN_PARALLEL := --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

# Hundreds of tests start programs of ours: without what is compiled, each would compile all of it again.
unexport PYTHONDONTWRITEBYTECODE

# A virtual environment knows its own place: begin anew where the tree was moved or copied.
ifneq ($(shell cat $(VENV)/.made 2>/dev/null),$(shell pwd))
$(shell rm -f $(VENV)/.made)
endif

.PHONY: help demo test check lint types imports docs clean
.DELETE_ON_ERROR:

help:
	@echo "make demo    Linux clients against the engine, in network namespaces of its own"
	@echo "make test    every test (some of them: make test TESTS=tests/unit PYTEST_OPTIONS=-x)"
	@echo "make check   format, lint, types, import directions, docs"
	@echo "make docs    the documentation, in docs/_build/html"
	@echo "make clean   remove .venv and everything that was built"

demo: $(VENV)/.installed
	@$(BIN)/xsocket demo
	@echo "The command xsocket is in $(BIN). To have it on your path: . $(BIN)/activate"

test: $(VENV)/.installed-dev
	@$(BIN)/python -m pytest $(IN_PARALLEL) $(PYTEST_OPTIONS) $(TESTS)

check: lint types imports docs

lint: $(VENV)/.installed-dev
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m ruff check .

types: $(VENV)/.installed-dev
	$(BIN)/python -m mypy

imports: $(VENV)/.installed-dev
	$(BIN)/lint-imports

docs: $(VENV)/.installed-dev
	$(BIN)/python -m sphinx -q -n -W --keep-going -b html docs docs/_build/html

# The stamps come last, so that an interrupted installation is begun anew.
$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "error: Xsocket needs Python 3.11 or newer, and $(PYTHON) is not" >&2; \
		echo "remedy: name one that is: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "error: $(PYTHON) cannot make virtual environments" >&2; \
		echo "remedy: as root, apt-get install python3-venv (Debian, Ubuntu); or make PYTHON=..." >&2; exit 1; }
	@echo "Making $(VENV) (once)"
	@$(PYTHON) -m venv --clear $(VENV)
	@pwd > $@

$(VENV)/.installed: $(VENV)/.made pyproject.toml
	@echo "Installing Xsocket into $(VENV)"
	@$(PIP) install --editable .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.made pyproject.toml
	@echo "Installing Xsocket and what its tests need into $(VENV)"
	@$(PIP) install --editable '.[dev]'
	@touch $(VENV)/.installed $@

clean:
	rm -rf $(VENV) build dist docs/_build .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
