# PYTHON and VENV choose another interpreter and folder: make test PYTHON=python3.12 VENV=.venv312
PYTHON ?= python3
VENV ?= .venv
RUN := $(VENV)/bin/python

.PHONY: venv test check demo clean

venv: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --upgrade pip
	$(RUN) -m pip install --quiet --editable '.[dev]'
	touch $@

test: venv
	$(RUN) -m pytest $(PYTEST_FLAGS)

check: venv
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m pytest -q tests/test_layout.py

clean:
	rm -rf $(VENV) demo .pytest_cache .ruff_cache *.egg-info
