# Every command of this checkout. Nothing has to be installed or activated first, and `make -C seamark test` works too.

.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-print-directory
SHELL := /bin/sh

BIN := .venv/bin
PY := $(BIN)/python
PYTEST := $(PY) -m pytest
UV_VERSION := 0.13.9
TWO := -n 2 --dist worksteal
NO_UNITS := --ignore=tests/unit --ignore=tests/contract
UNITS := not browser and not paced and not serial and not soak
QUICK := not slow and $(UNITS)
unexport VIRTUAL_ENV PYTHONPATH PYTHONHOME

.PHONY: check
check: format-check lint floors types quick  ## what `make` alone does: format, lint, floors, types, quick tests

.PHONY: env
env:  ## .venv with everything for development, from requirements-dev.lock
	@scripts/environment dev

.PHONY: format
format: env  ## rewrite the code in the one format
	$(BIN)/ruff format
	$(BIN)/ruff check --fix-only --quiet

.PHONY: format-check
format-check: env
	$(BIN)/ruff format --check

.PHONY: lint
lint: env  ## ruff; every excluded rule has its reason in pyproject.toml
	$(BIN)/ruff check

.PHONY: floors
floors: env  ## imports only go down (.importlinter)
	$(BIN)/lint-imports --no-logo

.PHONY: types
types: env  ## mypy, strict, on service, sdk and loadtests
	$(BIN)/mypy

.PHONY: quick
quick: env  ## the unit, contract and tidiness tests that need no processes; under a minute
	$(PYTEST) -q $(TWO) --hypothesis-profile quick -m "$(QUICK)" tests/unit tests/contract tests/test_tidy.py $(ARGS)

.PHONY: test
test: env system-packages format-check lint floors types  ## the whole suite; first run on a fresh machine installs all
	$(PYTEST) -q $(TWO) -m "not paced and not serial and not browser and not soak" $(ARGS)
	@# Load tests and browsers run beside no others: those fill both cores, and a browser's event loop is in their way.
	$(PYTEST) -q $(TWO) -m "paced and not serial and not soak" $(NO_UNITS) $(ARGS) || [ $$? = 5 ]  # 5: ARGS chose none
	$(PYTEST) -q -m "serial and not soak" $(NO_UNITS) $(ARGS) || [ $$? = 5 ]
	$(PYTEST) -q $(TWO) -m "browser and not soak" $(NO_UNITS) $(ARGS) || [ $$? = 5 ]

.PHONY: system-packages
system-packages:
	@scripts/system_packages

.PHONY: soak
soak: env  ## the long forms of the tests: minutes to hours
	$(PYTEST) -m soak -s $(ARGS)
	$(PYTEST) -q -n 2 --hypothesis-profile soak --timeout 1800 -m hypothesis tests/unit $(ARGS) || [ $$? = 5 ]

.PHONY: demo
demo:  ## the whole story on real parts; ARGS=--once ends by itself
	@scripts/environment demo
	@$(PY) demo/run.py $(ARGS)

.PHONY: bench
bench: env  ## side-by-side benchmarks; each prints a table and writes JSON
	$(PY) -m bench $(ARGS)

.PHONY: dashboards
dashboards: env  ## write the Grafana dashboards anew from scripts/dashboards
	$(PY) scripts/dashboards

.PHONY: wheel
wheel: env  ## dist/*.whl of the service and of the SDK
	$(PY) -m build --wheel --no-isolation --outdir dist .
	$(PY) -m build --wheel --no-isolation --outdir dist sdk

# --- locks ---------------------------------------------------------------------------------------------------------

UV := .build/lock-venv/bin/uv
COMPILE := $(UV) pip compile pyproject.toml --quiet --python-version 3.11 --generate-hashes --no-emit-index-url

$(UV):
	$$(scripts/find_python) -m venv .build/lock-venv
	.build/lock-venv/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

.PHONY: lock
lock: $(UV)  ## resolve anew into requirements-dev.lock and requirements.lock (hashes; no index addresses)
	$(COMPILE) --universal --custom-compile-command 'make lock' --group dev -o requirements-dev.lock
	$(COMPILE) --universal --custom-compile-command 'make lock' --group demo -c requirements-dev.lock -o requirements.lock

.PHONY: test-lowest
test-lowest: $(UV)  ## the unit and contract tests on the oldest versions pyproject.toml allows
	$(COMPILE) --resolution lowest-direct --group dev -o .build/lowest.lock
	[ -x .build/lowest-venv/bin/python ] || $$(scripts/find_python) -m venv .build/lowest-venv
	.build/lowest-venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes \
		-r .build/lowest.lock
	.build/lowest-venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation \
		--editable . --editable sdk
	.build/lowest-venv/bin/python -m pytest -q $(TWO) -m "$(UNITS)" tests/unit tests/contract $(ARGS)

# -------------------------------------------------------------------------------------------------------------------

.PHONY: clean
clean:  ## remove all that these commands made, .venv included
	rm -rf .venv .build dist artifacts .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .demo
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +

.PHONY: help
help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile
