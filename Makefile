# make repro: set up, compose params.yaml, run every stage. make test: set up, run the tests.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.stamp
NAME   ?= training
export PATH := $(abspath $(BIN)):$(PATH)

.DEFAULT_GOAL := help
.PHONY: help setup params repro test slow lint types docs bench image clean

help: ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("scanlens needs Python 3.11 or newer, this is " + sys.version.split()[0] + ". Run: make PYTHON=python3.11") if sys.version_info < (3, 11) else None'
	@$(BIN)/python -m pip --version > /dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV) || { rm -rf $(VENV); echo "No venv module. Run: apt-get install python3-venv" >&2; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input -c constraints.txt -e '.[dev]'
	@# grad-cam and quantus ask for an OpenCV with windows, which would overwrite the headless one.
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input --no-deps -c constraints.txt grad-cam ttach quantus
	@touch $(STAMP)

setup: $(STAMP) ## make .venv, or renew it when pyproject.toml or constraints.txt changed

params: $(STAMP) ## compose params.yaml from conf/
	scanlens params

repro: params ## run every stage that is not up to date
	@git rev-parse --git-dir > /dev/null 2>&1 || { echo "DVC wants git, and this folder has none (unpacked from a zip?). Run: git init" >&2; exit 1; }
	dvc repro
	@echo "Look at data/07_reports/index.html"

test: $(STAMP) ## run the tests, two files at a time; of long tables a few rows
	python -m pytest -n 2 --dist loadfile -m "not slow"

slow: $(STAMP) ## run the other rows of long tables: make slow [PATHS=tests/models]
	@# Pytest ends with 5 where there is no such row.
	python -m pytest -n 2 --dist loadfile -m slow $(PATHS) || [ $$? -eq 5 ]

lint: $(STAMP) ## style, layers, types, params.yaml against conf/
	ruff format --check .
	ruff check .
	lint-imports
	mypy
	scanlens params --check

types: $(STAMP) ## types alone
	mypy

docs: $(STAMP) ## run the commands and snippets that the docs show
	python -m pytest tests/test_docs.py

bench: $(STAMP) ## make bench NAME=training [FULL=1]
	python -m benchmarks.$(NAME) $(if $(FULL),,--quick)

image: ## build the inference image and run it on three scans
	sh docker/image.sh

clean: ## remove what stages and tools wrote, not the DVC cache
	@# By name: own folders may lie beside them, as data/01_raw/scans or data/00_scans.
	rm -rf data/01_raw/acquired data/02_manifest data/03_preprocessed data/04_synthetic data/05_augmented
	rm -rf data/06_models/pretrained data/06_models/members data/06_models/trained
	rm -rf data/07_reports data/08_maps data/09_bundle
	rm -rf data/.0[2-9]_*.part data/01_raw/.acquired.part data/06_models/.*.part
	rm -rf .pytest_cache .ruff_cache .mypy_cache build
