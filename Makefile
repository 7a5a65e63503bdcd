# Everything a new machine needs: Python 3.11 or later, make, and a package index.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check

# Stamps carry a checksum of what decides the installation: set-up is repeated when that changes,
# and costs nothing otherwise.
SUM    := $(shell cat setup.cfg pyproject.toml constraints.txt | cksum | cut -d' ' -f1)
USE    := $(VENV)/.set-up-to-use-$(SUM)
TEST   := $(VENV)/.set-up-to-test-$(SUM)

.DEFAULT_GOAL := help
.PHONY: help demo test lint format clean

help:
	@echo "make demo    set up $(VENV) and fill the cloud gaps of the sample scene"
	@echo "make test    set up $(VENV), then lint, check types and test"
	@echo "make format  format the code"
	@echo "make clean   remove $(VENV) and every cache"

demo: $(USE)
	$(BIN)/geot2t demo

test: lint
	$(BIN)/pytest --nbmake

lint: $(TEST)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: $(TEST)
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

# The constraints name the torch that this was tested with. A package index without that version
# must do too, hence the second try without them.
define install
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) -c constraints.txt -e '$(1)' || $(PIP) -e '$(1)'
	rm -f $(VENV)/.set-up-to-*
	touch $(2)
endef

python-version:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "geot2t needs Python 3.11 or later, this is " + sys.version.split()[0] + ": make PYTHON=python3.12")'
.PHONY: python-version

$(USE): | python-version
	$(call install,.,$@)

$(TEST): | python-version
	$(call install,.[test$(,)nb$(,)plot],$@ $(USE))

# A comma in a call ends the argument, unless a variable holds it.
, := ,

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
