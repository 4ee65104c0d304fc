# Every target sets up .venv by itself. Another interpreter: make test PYTHON=/path/to/python3.12
.DEFAULT_GOAL := help
.PHONY: help demo test test-server lint check bench zoo clean
.DELETE_ON_ERROR:

SUPPORTED = import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))
PYTHON ?= $(shell for p in python3.11 python3.12 python3.10 python3; do \
	$$p -c '$(SUPPORTED)' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
WORKERS ?= 2
CONSTRAINTS ?= constraints.txt
# One thread a worker: the tests share the cores by process.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z.-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(READY) ## draw radiographs, train, evaluate and predict, in a few minutes, into demo/
	$(BIN)/python -m multimix_monai.apps.demo

test: $(READY) ## run all tests but those that need a GPU or a server
	$(PYTEST) -n $(WORKERS) -m "not gpu and not server" --ignore=tests/benchmarks --durations=15

test-server: $(READY) ## install a PACS and MONAI Label, and run the tests that need them
	bash tests/server/install_orthanc.sh
	PYTHON=$(BIN)/python bash tests/server/install_monai_label.sh
	$(PYTEST) -m server --durations=5

lint: $(READY) ## check the format, the style and the types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

check: lint test ## lint, then test: run it before every commit

bench: $(READY) ## run the timed comparisons
	$(BIN)/python -m pytest tests/benchmarks -s --durations=0

zoo: $(READY) ## write the bundle as MONAI's model zoo takes it, with the package inside, into zoo/
	$(BIN)/python -m multimix_monai.apps.zoo zoo

clean: ## remove the environment, the caches and what demo and zoo wrote
	rm -rf $(VENV) .venv-label .venv-label.lock .pytest_cache .mypy_cache .ruff_cache build *.egg-info demo zoo
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: $(VENV)
$(VENV): $(READY)

$(READY): pyproject.toml $(CONSTRAINTS)
	@[ -n "$(PYTHON)" ] || { echo "error: no Python 3.10 to 3.12 found: install one, or name it: make PYTHON=/path/to/python" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c $(CONSTRAINTS) -e ".[dev,dicom]"
	@touch $@
