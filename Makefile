# Every target runs in .venv and creates it on first use.
PYTHON ?= python3.11
# PyPI has torch for Linux as a CUDA build, which requires several GB, and PyTorch's own index has a CPU build of 200 MB.
# Set the URL of a mirror of that index, or an empty one to use PyPI alone. If the index does not answer, torch comes
# from PyPI. It does so too on macOS, where PyPI has the only build.
TORCH_INDEX_URL ?= https://download.pytorch.org/whl/cpu
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: help setup serve test test-fast check bench test-container test-faults fuzz soak lock audit sbom licences size clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-16s %s\n", $$1, $$2}'

# Installs only wheels whose SHA-256 is in the lock files of requirements/, and no package that these do not name.
LOCKED := $(PIP) install --no-deps --require-hashes --only-binary :all:

$(VENV)/installed: pyproject.toml requirements/torch.txt requirements/base.txt
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is not installed. Python 3.11 or newer is needed; to name yours: make PYTHON=python3.12"; exit 1; }
	test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	$(LOCKED) --retries 2 $(if $(TORCH_INDEX_URL),--extra-index-url $(TORCH_INDEX_URL)) -r requirements/torch.txt \
	|| { echo "There is no CPU build for this machine: torch comes from PyPI."; $(LOCKED) -r requirements/pypi-torch.txt; }
	$(LOCKED) -r requirements/base.txt
	$(PIP) install --no-deps --no-build-isolation -e .
	touch $@

# Apart from the packages, so that it can be done beside the installation of others.
$(VENV)/compiled: $(VENV)/installed
	$(BIN)/python -m models.compile_kernel
	touch $@

$(VENV)/installed-dev: $(VENV)/installed requirements/dev.txt
	$(LOCKED) -r requirements/dev.txt
	touch $@

# The tools of tests/clients, apart from our own packages, whose versions they do not share.
CLIENTS := $(VENV)/clients
$(CLIENTS)/installed: $(VENV)/installed tests/clients/requirements.txt tests/clients/package-lock.json
	test -d $(CLIENTS) || $(PYTHON) -m venv $(CLIENTS)
	$(CLIENTS)/bin/python -m pip --disable-pip-version-check install --no-deps --require-hashes -r tests/clients/requirements.txt
	cp tests/clients/package.json tests/clients/package-lock.json $(CLIENTS)
	@if command -v npm >/dev/null; \
	then npm ci --prefix $(CLIENTS) --no-audit --no-fund && touch $@; \
	else echo "npm is not installed (Debian: apt-get install npm): the test of the TypeScript client is skipped."; fi

$(VENV)/installed-bench: $(VENV)/installed-dev
	$(PIP) install -e '.[bench]'
	touch $@

setup: $(VENV)/installed-dev $(VENV)/compiled $(CLIENTS)/installed  ## install everything that development needs

serve: $(VENV)/compiled  ## run the service on http://127.0.0.1:8000
	$(BIN)/separatrix serve

test: setup  ## run the tests, except those that need Docker
	$(BIN)/pytest

# Two workers: these tests wait for nothing, and a third one would only import everything once more.
test-fast: $(VENV)/installed-dev $(VENV)/compiled  ## run the tests that start no service process and no PostgreSQL, and take a moment
	$(BIN)/pytest -n 2 -m 'not processes and not postgres and not slow'

check: $(VENV)/installed-dev  ## lint, check types and layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python requirements/audit.py

bench: $(VENV)/installed-bench $(VENV)/compiled  ## print side-by-side speed tables
	$(BIN)/python -m benchmarks

test-container: $(VENV)/installed-dev  ## build the image and test it; needs Docker
	CONTAINER=1 $(BIN)/pytest -n 0 tests/container

test-faults: $(VENV)/installed-dev  ## run the fault tests with two hundred random kills; takes minutes
	FAULTS=1 $(BIN)/pytest -n 0 tests/faults

fuzz: $(VENV)/installed-dev  ## send thousands of damaged requests and files; takes minutes
	FUZZ=3000 $(BIN)/pytest tests/fuzz

soak: $(VENV)/installed-dev $(VENV)/compiled  ## run a mixed load for ten minutes; fails on memory growth, leaks and server errors
	$(BIN)/python -m benchmarks.soak $(SOAK)

COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --fork-strategy fewest --generate-hashes \
  --no-header --no-annotate --no-emit-index-url $(UPGRADE)
WITHOUT_TORCH := --no-emit-package torch --excludes requirements/cuda-packages.txt
lock: $(VENV)/installed-dev  ## write the lock files again; UPGRADE=--upgrade takes the newest versions
	$(COMPILE) pyproject.toml $(WITHOUT_TORCH) -o requirements/base.txt
	$(COMPILE) pyproject.toml --extra dev -c requirements/base.txt $(WITHOUT_TORCH) -o requirements/dev.txt
	$(BIN)/python -c 'import importlib.metadata as m; print("torch==" + m.version("torch").partition("+")[0])' \
	| $(COMPILE) - -c requirements/base.txt -o requirements/pypi-torch.txt
	$(COMPILE) tests/clients/requirements.in -o tests/clients/requirements.txt
	cd tests/clients && npm install --package-lock-only --omit-lockfile-registry-resolved --no-audit --no-fund

audit: $(VENV)/installed-dev  ## look for known vulnerabilities in the locked packages
	$(BIN)/python requirements/audit.py

sbom: $(VENV)/installed-dev  ## write sbom.json (CycloneDX), which lists the Python packages of the image
	cat requirements/torch.txt requirements/base.txt | $(BIN)/python -m cyclonedx_py requirements - --pyproject pyproject.toml \
	  --output-reproducible --output-file sbom.json

licences: $(VENV)/installed-dev  ## write docs/licences.md again
	$(BIN)/python requirements/licences.py >docs/licences.md

size:  ## count lines of code by package
	@for package in models service tests; do \
	  printf '%-8s %s\n' $$package $$(find $$package -name '*.py' | xargs cat | grep -cvE '^\s*(#|$$)'); done

clean:  ## remove what make setup created
	rm -rf $(VENV) *.egg-info
