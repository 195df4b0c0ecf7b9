# Two commands are all: `make demo` and `make test`.
PYTHON ?= python3
BIN := .venv/bin
BENCHES := cold_start ledger_speed inversion_speed memory_prediction latency_prediction fast_layers data_pipeline \
  loop_speed store_speed sweep_scaling

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

bench: setup # one after the other, each on its own
	for one in $(BENCHES); do $(BIN)/python benchmarks/$$one.py || exit 1; done

clean:
	rm -rf .venv build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
