# make demo            from mini data to a robustness report, in minutes on two cores
# make demo-classifier a trained classifier on photographs, in a minute
# make test            the test suite
# make lint            ruff, import-linter, mypy
# make test-openmmlab  the test suite on OpenMMLab's own packages of 2024, in .venv-openmmlab
# make docs            the documentation site, site/index.html, in .venv-docs
# make faults          the faults campaign: kills, calamities, wrong input, altered results
# make fuzz            changed files for every reader of outside files, ten minutes each
# make mutants         small faults made in the package, and whether its tests notice them
# Each makes its environment with the pinned stack first, if it is missing. Without one:
# make hashes          the hashes of all pins anew, by uv
# make audit           known vulnerabilities of the pins, by pip-audit

PYTHON ?= $(shell for p in python3.11 python3.12 python3.10 python3; do \
	$$p -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null \
	&& echo $$p && break; done)
VENV ?= .venv
BIN := $(VENV)/bin
HASHES := requirements/dev-hashes.txt
BUILD_HASHES := requirements/build-hashes.txt
OPENMMLAB_VENV ?= .venv-openmmlab
OPENMMLAB_PINS := requirements/constraints-openmmlab.txt
DOCS_VENV ?= .venv-docs
DOCS_PINS := requirements/docs.txt
# A changed pin or extra makes a new stamp name, and with it a new installation.
stamp = $(1)/.installed-$(shell cat setup.py $(2) | cksum | cut -d' ' -f1)
STAMP := $(call stamp,$(VENV),$(HASHES))
OPENMMLAB_STAMP := $(call stamp,$(OPENMMLAB_VENV),$(OPENMMLAB_PINS))
DOCS_STAMP := $(call stamp,$(DOCS_VENV),$(DOCS_PINS))
TESTS ?= -m "not slow"
# One process a core, each with whole files of tests; JOBS=0 runs all in one process.
JOBS ?= auto
PYTEST := -m pytest -n $(JOBS) --maxprocesses 8 --dist loadfile
# Of each reader, for make fuzz.
MINUTES ?= 10
# Waiting OpenMP threads sleep, as in the tools: see stl_backbones/cli/__init__.py.
export OMP_WAIT_POLICY ?= PASSIVE
# Else each process of the tests compiles the package anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo demo-classifier test test-all test-openmmlab docs faults fuzz mutants lint format hashes audit clean
help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

# torch first: mmcv is compiled against it, once, since wheels are kept; for GPUs where there is a CUDA
# toolkit, see requirements/mmcv_pip.py. pip's cache does not know for which torch, so an operator is
# tried, and what fails is compiled anew.
define make_venv
	@test -n "$(PYTHON)" || { echo "make: needs Python 3.10, 3.11 or 3.12 on PATH"; exit 2; }
	$(PYTHON) -m venv $(1)
endef
MMCV_WORKS = $(1)/bin/python requirements/mmcv_pip.py check
MMCV_AGAIN := --no-build-isolation --no-deps --force-reinstall
define finish
	rm -f $(1)/.installed-*
	touch $@
endef
COMPILING := @echo "installing mmcv: compiled from source the first time, about 10 minutes on two cores; what is done is shown"

# Every file is compared with its hash, and nothing that is built fetches tools without one.
$(STAMP):
	$(call make_venv,$(VENV))
	$(BIN)/python -m pip install -q --require-hashes --only-binary :all: -r $(BUILD_HASHES)
	$(COMPILING)
	$(BIN)/python requirements/mmcv_pip.py install -q --require-hashes --no-build-isolation -r $(HASHES)
	$(BIN)/python -m pip install -q --no-build-isolation --no-deps -e .
	$(call MMCV_WORKS,$(VENV)) 2>$(VENV)/mmcv.log || { \
		echo "the mmcv of pip's cache does not fit this torch: compiling it anew"; \
		sed -n '/^onedl-mmcv==/,/[^\\]$$/p' $(HASHES) >$(VENV)/mmcv.txt; \
		$(BIN)/python requirements/mmcv_pip.py anew -q --require-hashes $(MMCV_AGAIN) \
			-r $(VENV)/mmcv.txt && $(call MMCV_WORKS,$(VENV)); }
	$(call finish,$(VENV))

$(OPENMMLAB_STAMP): PIP = $(OPENMMLAB_VENV)/bin/python -m pip install -q -c $(OPENMMLAB_PINS)
$(OPENMMLAB_STAMP): MMCV = $(OPENMMLAB_VENV)/bin/python requirements/mmcv_pip.py
$(OPENMMLAB_STAMP):
	$(call make_venv,$(OPENMMLAB_VENV))
	$(PIP) pip setuptools wheel ninja numpy torch torchvision
	$(COMPILING)
	$(MMCV) install -q -c $(OPENMMLAB_PINS) --no-build-isolation mmcv
	$(PIP) --no-build-isolation -e '.[openmmlab-2024,dev]'
	$(call MMCV_WORKS,$(OPENMMLAB_VENV)) 2>$(OPENMMLAB_VENV)/mmcv.log || { \
		echo "the mmcv of pip's cache does not fit this torch: compiling it anew"; \
		$(MMCV) anew -q -c $(OPENMMLAB_PINS) $(MMCV_AGAIN) mmcv && $(call MMCV_WORKS,$(OPENMMLAB_VENV)); }
	$(call finish,$(OPENMMLAB_VENV))

$(DOCS_STAMP):
	$(call make_venv,$(DOCS_VENV))
	$(DOCS_VENV)/bin/python -m pip install -q -r $(DOCS_PINS)
	$(call finish,$(DOCS_VENV))

demo: $(STAMP)
	$(BIN)/python tools/demo.py

demo-classifier: $(STAMP)
	$(BIN)/python tools/demo_classifier.py

test: $(STAMP)
	$(BIN)/python $(PYTEST) $(TESTS)

test-all: $(STAMP)
	$(BIN)/python $(PYTEST)

test-openmmlab: $(OPENMMLAB_STAMP)
	$(OPENMMLAB_VENV)/bin/python $(PYTEST) $(TESTS)

# A broken link, an anchor that is none and a page that the menu lacks are errors.
docs: $(DOCS_STAMP)
	NO_MKDOCS_2_WARNING=1 $(DOCS_VENV)/bin/python -m mkdocs build --strict

faults: $(STAMP)
	$(BIN)/python -m faults --table faults/results.md

fuzz: $(STAMP)
	$(BIN)/python -m faults.fuzz --minutes $(MINUTES)

mutants: $(STAMP)
	$(BIN)/python -m faults.mutants --table faults/mutants.md

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache
	$(BIN)/mypy

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

hashes:
	$(PYTHON) requirements/lock.py

audit:
	pip-audit --disable-pip --require-hashes -r $(HASHES)

clean:
	rm -rf demo demo-classifier work_dirs site .mypy_cache .pytest_cache .ruff_cache build dist *.egg-info
