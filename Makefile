# Everything runs in .venv, made on first use. For a CPU-only torch on a machine whose package index would give a CUDA
# build of several GB, set TORCH_INDEX_URL to PyTorch's index of CPU wheels.
PYTHON ?= python3.11
TORCH_INDEX_URL ?=
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: help setup serve test check bench test-container test-faults size clean

help:  ## what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-16s %s\n", $$1, $$2}'

$(VENV)/installed: pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 or newer is needed; say which: make PYTHON=python3.12"; exit 1; }
	test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	$(PIP) install $(if $(TORCH_INDEX_URL),--extra-index-url $(TORCH_INDEX_URL)) torch==2.13.0
	$(PIP) install -e .
	$(BIN)/python -m models.compile_kernel
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(PIP) install -e '.[dev]'
	touch $@

$(VENV)/installed-bench: $(VENV)/installed-dev
	$(PIP) install -e '.[bench]'
	touch $@

setup: $(VENV)/installed-dev  ## install everything, for development too

serve: $(VENV)/installed  ## run the service on http://127.0.0.1:8000
	$(BIN)/separatrix serve

test: $(VENV)/installed-dev  ## all tests but those that need Docker, or minutes
	$(BIN)/pytest

check: $(VENV)/installed-dev  ## lint, types, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/installed-bench  ## side-by-side speed tables
	$(BIN)/python -m benchmarks

test-container: $(VENV)/installed-dev  ## build the image and try it; needs Docker
	CONTAINER=1 $(BIN)/pytest -n 0 tests/container

test-faults: $(VENV)/installed-dev  ## the fault suite, with two hundred random kills; some minutes
	FAULTS=1 $(BIN)/pytest -n 0 tests/faults

size:  ## lines of code by package
	@for package in models service tests; do \
	  printf '%-8s %s\n' $$package $$(find $$package -name '*.py' | xargs cat | grep -cvE '^\s*(#|$$)'); done

clean:  ## remove what make setup made
	rm -rf $(VENV) *.egg-info
