# Two commands are all: `make demo` and `make test`.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: setup demo test test-slow bench clean

setup: .venv/.installed

.venv/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "explorer needs Python >= 3.11; set one with: make $(or $(MAKECMDGOALS),setup) PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --disable-pip-version-check -q -c constraints.txt -e '.[test]'
	@touch $@

demo: setup
	$(BIN)/explorer cost gunn18
	$(BIN)/explorer audit ms-sar --html explorer-work/audit.html
	$(BIN)/explorer sweep --scales 1,2,4

test: setup
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pytest -n 2 -m "not slow"

test-slow: setup
	$(BIN)/pytest -m slow

bench: setup
	$(BIN)/python benchmarks/cold_start.py
	$(BIN)/python benchmarks/ledger_speed.py
	$(BIN)/python benchmarks/memory_prediction.py
	$(BIN)/python benchmarks/latency_prediction.py
	$(BIN)/python benchmarks/fast_layers.py

clean:
	rm -rf .venv build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
