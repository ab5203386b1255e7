# Everything a contributor or a user runs. `make help` lists the targets.
# PYTHON       the Python that makes the environment          make setup PYTHON=python3.12
# SYSTEM_SITE  set to see the packages of that Python, such as your own torch and Detectron2; an
#              environment that was made so stays so
#                                                             make setup SYSTEM_SITE=1
# IMAGES       your own micrographs for the demo              make demo IMAGES=folder
PYTHON ?= python3
VENV ?= .venv
SYSTEM_SITE ?= $(shell test -e '$(VENV)/.stamp-own' && echo 1 || \
  { grep -qsx 'include-system-site-packages = true' '$(VENV)/pyvenv.cfg' && echo 1; })
IMAGES ?=

BIN := $(VENV)/bin
SETUP := $(VENV)/.stamp-setup
DETECTRON2 := $(shell find third_party/detectron2 -name '*.py' -o -name 'pyproject.toml')
# The tested versions, except where the user's own packages are to be kept.
PINS := $(if $(SYSTEM_SITE),,--constraint constraints.txt)
PIP := $(BIN)/python -m pip install --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint type fmt bench results clean
.DELETE_ON_ERROR:

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "%-10s%s\n", $$1, $$2}' Makefile

setup: $(SETUP) ## make .venv with everything in it (first time: about 6 GB)
	@$(if $(and $(SYSTEM_SITE),$(filter .venv,$(VENV))),grep -qx 'include-system-site-packages = true' $(VENV)/pyvenv.cfg || \
	  { echo "error: $(VENV) was made without SYSTEM_SITE; run make clean and then this again" >&2; exit 2; },:)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] < (3, 14))' || \
	  { echo "error: $(PYTHON) is not Python 3.10 to 3.13; name one: make setup PYTHON=… (uv python install 3.13 brings one)" >&2; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "error: $(PYTHON) lacks venv; run: apt-get install python3-venv" >&2; exit 2; }
	$(PYTHON) -m venv $(if $(SYSTEM_SITE),--system-site-packages) $(VENV)

# A Detectron2 that is not the one of third_party is the user's own, and is kept.
$(SETUP): setup.py constraints.txt $(DETECTRON2) | $(BIN)/python
	@$(if $(and $(SYSTEM_SITE),$(filter-out .venv,$(VENV))),touch $(VENV)/.stamp-own,:)
	$(PIP) $(PINS) --editable '.[detection,dev]'
	$(BIN)/python -c 'from importlib.metadata import version as v; exit("a59f0563" in v("detectron2"))' \
	  2>/dev/null || $(PIP) $(PINS) ./third_party/detectron2
	@touch $@

demo: setup ## find, count and measure mitochondria in example images; writes demo_output/
	$(BIN)/mito demo $(if $(IMAGES),--images "$(IMAGES)") -o demo_output

# Tests read what was written, whatever the locale.
test: export PYTHONUTF8 := 1
test: lint type ## lint, types, the fast tests, then the slow ones
	$(BIN)/pytest -n auto -m "not slow and not acceptance and not gpu"
	$(BIN)/pytest -m "slow or acceptance or gpu"

lint: setup ## ruff and the import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

type: setup ## mypy, strict
	$(BIN)/mypy

fmt: setup ## format, and fix what ruff can fix
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup ## run the benchmarks
	for file in benchmarks/bench_*.py; do $(BIN)/python "$$file" || exit 1; done

results: setup ## write the tables of README.md and docs/results.md from docs/results/*.json
	$(BIN)/python benchmarks/results_table.py

clean: ## remove .venv, the caches and the demo's output
	rm -rf .venv .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	rm -rf build demo_output *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
