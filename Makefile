# Every target sets up what it needs: a virtual environment in .venv with the exact versions of constraints.txt.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest
STAMP := $(VENV)/.installed
PEERS := datatrove fasttext language litdata loaders mds megatron nemo rensa textdedup

.PHONY: demo test test-long test-peers check lint types contracts docs setup peers clean

demo: setup  ## the whole pipeline on text found on this machine
	$(BIN)/megadata demo

test: setup  ## the test suite, two files at a time
	$(PYTEST) --numprocesses 2 --dist loadfile

test-long: setup  ## the full counts: kills, mutations, layouts
	$(PYTEST) -m long --timeout 3000

test-peers: setup peers  ## comparisons with other libraries (installs them)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --no-deps megatron-core
	$(BIN)/python -m pip install --quiet --constraint constraints.txt transformers datasets torchdata lightning grain jax
	$(PYTEST) -m peers

check: setup lint types contracts docs  ## everything that needs no run: lint, types, import contracts, docs in step

lint: setup
	$(BIN)/ruff check megadata tests benchmarks
	$(BIN)/ruff format --check megadata tests benchmarks

types: setup
	$(BIN)/mypy

contracts: setup
	$(BIN)/lint-imports

docs: setup  ## fails when docs/cli.md differs from --help
	$(BIN)/python -m megadata.commands.reference --check docs/cli.md

peers: $(PEERS:%=.peers/%/.installed)  ## environments of libraries that cannot share ours

.peers/%/.installed: benchmarks/peers/%.txt
	test -x .peers/$*/bin/python || $(PYTHON) -m venv .peers/$*
	.peers/$*/bin/python -m pip install --quiet --requirement $<
	test $* != nemo || .peers/nemo/bin/python -m pip install --quiet --no-deps nemo_toolkit==1.23.0
	touch $@

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade --constraint constraints.txt pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt "torch==$$(sed -n 's/^torch==//p' constraints.txt)"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[train,report,test,dev]"
	touch $(STAMP)

clean:
	rm -rf $(VENV) .peers demo .pytest_cache .mypy_cache .ruff_cache .hypothesis
