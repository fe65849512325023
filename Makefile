# make demo   run the main job: simulate a session, convert, process, hold the result to the truth
# make demo-project  the same of a project: three sessions, two methods, on two workers
# make check  format, lint, types, and the tests that take seconds: under two minutes
# make test   format, lint, types and the tests
# make faults the crash suite in its long form
# make test-long  the tests that take minutes each
# make test-tools  those of CaImAn, EXTRACT and other optional programs, where they are installed; says which ran
# make bench  measure speed and memory
# make same-source [CHANGED="dff wheel"]  after a change of compute code (see CONTRIBUTING.md)
# make locks  resolve the locked versions again
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
TOOLS := $(NWBPIPE_TOOLS)/suite2p/nwbpipe-tool.json $(NWBPIPE_TOOLS)/facemap/nwbpipe-tool.json

READERS := .make/readers/h5py-3.8.0 .make/readers/h5py-3.10.0

