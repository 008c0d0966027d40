# The two commands of the README. Both make .venv when it is not there.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/installed

.PHONY: test artifacts train bench clean

test: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest -n auto --dist worksteal

artifacts: $(STAMP)
	$(BIN)/python scripts/build_artifacts.py

train: $(STAMP)
	$(BIN)/python scripts/train_char_rnn.py

bench: $(STAMP)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[bench]"
	$(BIN)/python scripts/bench.py --write

clean:
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --constraint constraints.txt --editable . --group dev
	touch $@
