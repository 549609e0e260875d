# Two commands need nothing but Python 3.11+, pip and make: `make train` and `make test`.
# Both make .venv on their first run and leave it alone afterwards.
PYTHON ?= python3
RECIPE ?= listops-rir-quick
BIN := .venv/bin

.PHONY: train test install clean

# The stamp is remade when what is to be installed changes.
.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -c "import sys; sys.version_info >= (3, 11) or sys.exit('nestree needs Python 3.11 or newer: make PYTHON=python3.11 ...')"
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

install: .venv/installed

train: .venv/installed
	$(BIN)/nestree train $(RECIPE) --report

test: .venv/installed
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright
	tools/install_chromium.sh
	$(BIN)/pytest -n 2

clean:
	rm -rf .venv
