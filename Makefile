# make demo   run the main job: simulate a session, convert, process, hold the result to the truth
# make demo-pose  train a tiny DeepLabCut network, track a simulated mouse with it, and hold its pose to the truth
# make demo-project  the same of a project: three sessions, two methods, on two workers
# make check  format, lint, types, and the tests that take seconds: under two minutes
# make test   format, lint, types and the tests
# make faults the crash suite in its long form
# make test-thorough  those that prove at length what `make test` proves in short: minutes in all
# make test-long  the tests that take minutes each
# make test-tools  those of CaImAn, EXTRACT and other optional programs, where they are installed; says which ran
# make browser  what the tests of the dashboard need: Playwright, axe-core, and a Chromium where the machine has none
# make test-slurm  those of a cluster, on a SLURM of one node that it starts here; installs Debian's packages where it may
# make test-containers  those of tools in containers, on podman and docker with stores of their own; installs Debian's podman
# make test-nfs  those of network disks, on an NFS server and two nodes under user-mode Linux; fetches Debian's packages
# make test-azure  session files in Azure, on the emulator Azurite, which npm installs
# make test-google  session files in Google's storage, on a small server of the tests' own
# make test-archive  upload to and download from a DANDI archive: NWBPIPE_ARCHIVE_URL=…/api NWBPIPE_ARCHIVE_KEY=…
# make docs   build the documentation as a site, in site/
# make wheel  build wheel and sdist, and try the wheel in an empty environment of each Python on this machine
# make bench  measure speed and memory, in hours (SIZE=--quick: minutes, and without the two below)
# make bench-peers  the same work by nwbpipe, Snakemake, DataJoint on MariaDB, and a pool (SIZE=--quick: four sessions; SIZE="--sizes 20 60 --kills 5")
# make bench-scale  a thousand sessions converted and processed, here and on a Dask cluster (SIZE=--quick: three)
# make same-source [CHANGED="dff wheel"]  after a change of compute code (see CONTRIBUTING.md)
# make locks  resolve the locked versions again
# make licences  list the locked packages with their versions and licences
# Everything is installed into .venv and .make; nothing but Python ≥ 3.11 and git is assumed.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export NWBPIPE_TOOLS ?= $(CURDIR)/.make/tools
export NWBPIPE_LOGS ?= $(CURDIR)/.make/logs
export NWBPIPE_CACHE ?= $(CURDIR)/.make/cache
export UV_CONSTRAINT ?= $(CURDIR)/constraints.txt
export PIP_CONSTRAINT ?= $(CURDIR)/constraints.txt
export OMP_WAIT_POLICY ?= PASSIVE
# The tests start hundreds of Pythons: each would compile all that it imports.
unexport PYTHONDONTWRITEBYTECODE
# Package locations that the user has configured for pip are passed on to uv, which does not read pip's settings.
UV = . $(VENV)/uv.sh && $(BIN)/uv
COMPILE = $(UV) pip compile --quiet --no-emit-index-url --no-emit-find-links --no-annotate --custom-compile-command "make locks"
INSTALLED := $(VENV)/installed
# Tests wait for processes, disks and servers now and then: one worker more than there are cores, and eight at most.
WORKERS ?= $(shell $(PYTHON) -c 'import os; print(min(os.cpu_count() or 1, 7) + 1)')
TOOLS := $(foreach tool,suite2p facemap movement,$(NWBPIPE_TOOLS)/$(tool)/nwbpipe-tool.json)

READERS := .make/readers/h5py-3.8.0 .make/readers/h5py-3.10.0

.PHONY: help setup browser tools readers demo demo-pose demo-project check test test-thorough test-long test-tools test-archive test-slurm test-containers test-nfs test-azure test-google faults lint locks same-source docs wheel bench bench-peers bench-scale licences clean

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

$(INSTALLED): locks/dev.txt constraints.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed: make PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==0.13.9
	$(PYTHON) src/nwbpipe/environments/_pip_settings.py > $(VENV)/uv.sh
	$(UV) pip install --quiet --python $(BIN)/python -r locks/dev.txt
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --editable .
	touch $@

setup: $(INSTALLED)

# A registry that does not answer is asked a second time.
AXE := npm install --silent --no-audit --no-fund --no-save --ignore-scripts --fetch-timeout 60000 --prefix .make/axe axe-core@4.11.0

browser: setup
	$(UV) pip install --quiet --python $(BIN)/python "playwright>=1.50"
	type chromium || type chromium-browser || type google-chrome || $(BIN)/python -m playwright install chromium || \
	  { $(BIN)/python -c 'from tests.fixtures.programs import install_packages; print(install_packages("chromium", ["chromium"]))' && type chromium; }
	if type npm; then $(AXE) || $(AXE); \
	else echo "npm is missing: the pages are not checked by axe-core"; fi

$(NWBPIPE_TOOLS)/%/nwbpipe-tool.json: locks/%.txt $(INSTALLED)
	$(BIN)/nwbpipe tools install $* --lock $<

tools: $(TOOLS)

# Older HDF5 (1.12 and 1.14): what is written must be read by them.
.make/readers/h5py-%: $(INSTALLED)
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --target $@ h5py==$* numpy==1.26.4

readers: setup $(READERS)

demo: setup tools
	$(BIN)/nwbpipe demo demo

demo-pose: setup $(NWBPIPE_TOOLS)/deeplabcut/nwbpipe-tool.json $(NWBPIPE_TOOLS)/movement/nwbpipe-tool.json
	$(BIN)/nwbpipe demo --pose demo-pose

demo-project: setup
	$(BIN)/nwbpipe demo --project demo-project

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

# The rules of the house, the wires of the command line, and what is pure computation.
QUICK := tests/test_package.py tests/test_makefile.py tests/cli/test_wires.py tests/converters/spec tests/converters/clocks \
  tests/provenance/test_canonical.py tests/files/test_transaction.py tests/stores/test_stores.py tests/quality

check: lint
	$(BIN)/python -m pytest --quiet --numprocesses 2 --dist worksteal -m "not slow and not long and not thorough" $(QUICK)

test: setup tools readers lint
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist worksteal --durations 40 --junit-xml .make/tests.xml

faults: setup
	NWBPIPE_FAULTS=long $(BIN)/python -m pytest tests/faults --timeout 3000

test-thorough: setup tools
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist worksteal -m "thorough and not long" --durations 10

test-long: setup tools
	$(BIN)/python -m pytest -m long

test-archive: setup
	$(BIN)/python -m pytest -m archive -v -rs

test-tools: setup tools
	$(BIN)/python -m pytest -m "tool and not long" -v -rs

test-slurm: setup
	$(BIN)/python -m tests.fixtures.slurm
	$(BIN)/python -m pytest tests/cluster tests/docs -m slurm -v -rs $(if $(SELECT),-k '$(SELECT)')

test-containers: setup
	$(BIN)/python -m tests.fixtures.containers
	$(BIN)/python -m pytest tests/containers -m containers -v -rs $(if $(SELECT),-k '$(SELECT)')

test-nfs: setup
	$(BIN)/python -m tests.fixtures.nfs
	$(BIN)/python -m pytest tests/nfs -m nfs -v -rs $(if $(SELECT),-k '$(SELECT)')

test-azure: setup
	$(UV) pip install --quiet --python $(BIN)/python "azure-storage-blob>=12.19"
	npm install --silent --no-audit --no-fund --prefix .make/azurite azurite@3
	$(BIN)/python -m pytest tests/azure -m azure -v -rs

test-google: setup
	$(UV) pip install --quiet --python $(BIN)/python "google-cloud-storage>=2.14"
	$(BIN)/python -m pytest tests/google -m google -v -rs

.make/docs/installed: locks/docs.txt $(INSTALLED)
	$(PYTHON) -m venv .make/docs
	$(UV) pip install --quiet --python .make/docs/bin/python -r locks/docs.txt
	touch $@

docs: .make/docs/installed
	NO_MKDOCS_2_WARNING=1 .make/docs/bin/mkdocs build --quiet

wheel: setup
	rm -rf dist
	$(UV) build --quiet --out-dir dist
	$(UV) tool run --quiet twine check --strict dist/*.whl dist/*.tar.gz
	. $(VENV)/uv.sh && PATH="$(CURDIR)/$(BIN):$$PATH" UV_CONSTRAINT= $(BIN)/python -m tests.wheel dist/*.whl

bench: setup
	. $(VENV)/uv.sh && NWBPIPE_PEERS=$(CURDIR)/.make/peers $(BIN)/python -m benchmarks $(SIZE)

# Snakemake and DataJoint from PyPI, each version of today, in an environment of their own; MariaDB from Debian.
bench-peers: setup
	. $(VENV)/uv.sh && NWBPIPE_PEERS=$(CURDIR)/.make/peers $(BIN)/python -m benchmarks peers $(SIZE)

bench-scale: setup
	$(BIN)/python -m benchmarks scale $(SIZE)

same-source: setup
	$(BIN)/python -m tests.same_source $(CHANGED)

locks: setup
	mkdir -p .make
	$(COMPILE) --extra dev -o locks/dev.txt pyproject.toml
	for tool in suite2p facemap deeplabcut movement nwbwidgets; do \
	  $(BIN)/nwbpipe tools requirements $$tool > .make/$$tool.in && \
	    $(COMPILE) --upgrade-package torch -o locks/$$tool.txt .make/$$tool.in || exit 1; \
	done
	$(COMPILE) -o locks/docs.txt locks/docs.in
	sed -i.old 's/^torch==\([0-9.]*\)+cpu/torch==\1/' locks/*.txt && rm -f locks/*.old

licences: setup
	$(BIN)/python -m tests.licences

clean:
	rm -rf $(VENV) .make
