# Two commands need nothing but Python 3.11+, pip and make: `make train` and `make test`.
# Both create .venv on their first run and reuse it afterwards.
PYTHON ?= python3
RECIPE ?= listops-rir-quick
BIN := .venv/bin

.PHONY: train test attack docs install clean

NATIVE := $(wildcard src/nestree/native/*.[ch]pp)

# Installed again when the requirements or what is compiled change.
.venv/installed: pyproject.toml constraints.txt hatch_build.py $(NATIVE)
	$(PYTHON) -c "import sys; sys.version_info >= (3, 11) or sys.exit('nestree needs Python 3.11 or newer: make PYTHON=python3.11 ...')"
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

install: .venv/installed

train: .venv/installed
	$(BIN)/nestree train $(RECIPE) --report

# Strict: warnings are errors. The variable silences an announcement about MkDocs itself.
docs: .venv/installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "The documentation is in build/site/index.html"

test: .venv/installed docs
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright
	tools/install_chromium.sh
	$(BIN)/pytest -n 2

# The long form of the attacks, about an hour; docs/reliability.md says what the figures mean.
attack: .venv/installed
	NESTREE_ATTACK=$(or $(NESTREE_ATTACK),50) $(BIN)/pytest -s tests/attack

clean:
	rm -rf .venv
