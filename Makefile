# Two commands for a newcomer: `make map` and `make test`. Both make .venv and install first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
EXAMPLE := examples/aberystwyth

.PHONY: map test check install clean

map: $(VENV)/installed
	@echo "--- 1/5 ingest: 16 Sentinel-2 files into one scene store"
	$(BIN)/sandan ingest $(EXAMPLE)/map.yaml
	@echo "--- 2/5 train a U-Net++ on 2 workers (about 2 minutes on 2 cores)"
	$(BIN)/sandan train $(EXAMPLE)/unetpp.yaml
	@echo "--- 3/5 train a DeepLabV3+ on 2 workers (about 2 minutes on 2 cores)"
	$(BIN)/sandan train $(EXAMPLE)/deeplab.yaml
	@echo "--- 4/5 map: infer, mosaic, publish"
	$(BIN)/sandan map $(EXAMPLE)/map.yaml
	@echo "--- 5/5 evaluate on held-back blocks"
	$(BIN)/sandan evaluate $(EXAMPLE)/map.yaml

test: $(VENV)/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -n 2 --dist loadfile

install: $(VENV)/installed

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Sandan needs Python 3.11 or newer, found $$($(PYTHON) --version 2>&1); try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "--- installing into $(VENV): about 5 GB, mostly PyTorch; a few minutes"
	$(BIN)/python -m pip install --quiet --editable . --constraint constraints.txt
	touch $@

$(VENV)/installed-test: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "--- installing into $(VENV): about 5 GB, mostly PyTorch; a few minutes"
	$(BIN)/python -m pip install --quiet --editable '.[test]' --constraint constraints.txt
	touch $@ $(VENV)/installed

clean:
	rm -rf $(VENV) runs build *.egg-info
