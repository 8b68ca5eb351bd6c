# make demo   from mini data to a robustness report, in minutes on two cores
# make test   the test suite
# make lint   ruff, import-linter, mypy
# Each makes .venv with the pinned stack first, if it is missing.

PYTHON ?= $(shell for p in python3.11 python3.12 python3.10 python3; do \
	$$p -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null \
	&& echo $$p && break; done)
VENV ?= .venv
BIN := $(VENV)/bin
PINS := -c requirements/constraints.txt
# A changed pin or extra makes a new stamp name, and with it a new installation.
STAMP := $(VENV)/.installed-$(shell cat setup.py requirements/constraints.txt | cksum | cut -d' ' -f1)
TESTS ?= -m "not slow"

.PHONY: help demo test test-all lint format clean
help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

# torch first: mmcv is compiled against it (once; pip keeps the wheel). After a change of the torch
# pin, add --no-cache-dir to the mmcv line: pip's wheel cache does not know the torch it was built for.
$(STAMP):
	@test -n "$(PYTHON)" || { echo "make: needs Python 3.10, 3.11 or 3.12 on PATH"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q $(PINS) pip setuptools wheel ninja numpy torch torchvision
	@echo "installing mmcv: compiled from source the first time, about 10 minutes on two cores"
	MAX_JOBS=$$(nproc) $(BIN)/python -m pip install -q --no-build-isolation $(PINS) onedl-mmcv
	$(BIN)/python -m pip install -q --no-build-isolation $(PINS) -e '.[onedl,dev]'
	rm -f $(VENV)/.installed-*
	touch $@

demo: $(STAMP)
	$(BIN)/python tools/demo.py

test: $(STAMP)
	$(BIN)/python -m pytest $(TESTS)

test-all: $(STAMP)
	$(BIN)/python -m pytest

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache
	$(BIN)/mypy

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf demo work_dirs .mypy_cache .pytest_cache .ruff_cache build dist *.egg-info
