# Everything a developer does has a name here; `make help` lists them.
.DEFAULT_GOAL := help
SHELL := /bin/bash
VENV := .venv
PY := $(VENV)/bin/python
BIN := $(VENV)/bin
TEST_WORKERS ?= 2
PAS_URL ?= http://127.0.0.1:6200

.PHONY: help setup fmt lint type arch test contracts golden bench bench-calibration bench-edits bench-index eval-index parity demo acceptance check lock run-pas run-pas-stub pas-health

help: ## list the targets
	@grep -hE '^[a-z-]+:.*?## ' $(MAKEFILE_LIST) | sort | awk -F ':.*?## ' '{printf "  make %-18s %s\n", $$1, $$2}'

setup: $(VENV)/.ready ## create .venv, install the locked packages, check the sandbox
	@bash scripts/check_isolation.sh

$(VENV)/.ready: requirements.lock pyproject.toml
	@bash scripts/setup.sh $(VENV)
	@touch $@

fmt: setup ## format the code
	$(BIN)/ruff format . && $(BIN)/ruff check --fix .

lint: setup ## ruff, all rules
	$(BIN)/ruff format --check . && $(BIN)/ruff check .

type: setup ## mypy, strict
	$(BIN)/mypy

arch: setup ## import contracts, arrows, sizes
	$(BIN)/lint-imports && $(BIN)/pytest -q tests/arch

test: setup ## the whole test suite
	@bash scripts/check_test_tools.sh
	$(BIN)/pytest -n $(TEST_WORKERS) --dist loadfile --no-loadscope-reorder

contracts: setup ## generate contracts/*.json and say whether they changed
	$(PY) scripts/contracts.py

golden: setup ## rewrite the golden transcripts; read the diff before committing
	DIRENG_REWRITE_GOLDEN=1 $(BIN)/pytest -q tests/golden

bench: setup ## measure, and write tests/benchmarks/*.json
	$(PY) tests/benchmarks/measure.py
	$(PY) tests/benchmarks/measure_model.py

bench-calibration: setup ## replay public agent costs (DATA=a csv or csv.gz) and fail outside the gate
	$(PY) tests/benchmarks/calibration_bench.py $(DATA)

bench-edits: setup ## measure edits with defects: right, refused, wrong
	$(PY) tests/benchmarks/edit_corpus.py

bench-index: setup ## measure the code index (REPO=git dir [ISSUES=rows.jsonl.gz] [LARGE="git dirs"] [NEO4J=bolt://...])
	$(PY) tests/benchmarks/measure_index.py $(REPO) $(if $(ISSUES),--issues $(ISSUES)) $(if $(LARGE),--large $(LARGE)) $(if $(NEO4J),--neo4j $(NEO4J))

eval-index: setup ## how well search finds what issues are about (MIRRORS=folder ROWS="name=rows.jsonl.gz ..." [JOBS=2])
	$(PY) tests/benchmarks/eval_index.py $(MIRRORS) tests/benchmarks/eval_index.json $(ROWS) $(if $(JOBS),--jobs=$(JOBS))

parity: setup ## an index kept level equals one built anew, and survives kills (REPO=path LANGUAGES=go [COMMITS=300] [EVERY=5])
	$(PY) tests/benchmarks/parity.py $(REPO) $(LANGUAGES) $(or $(COMMITS),300) $(or $(EVERY),5)
	$(PY) tests/benchmarks/index_crash.py $(REPO) $(LANGUAGES) $(or $(ROUNDS),20)

demo: setup ## the main job, twice, on real repositories
	@bash scripts/demo.sh

acceptance: setup ## the acceptance tests of the specification
	@bash scripts/check_test_tools.sh
	$(BIN)/pytest -q tests/acceptance

check: lint type arch test ## everything that CI runs
	$(PY) scripts/contracts.py --check

lock: setup ## resolve requirements.lock anew (needs uv)
	uv pip compile --universal --python-version 3.11 --generate-hashes --extra dev --no-emit-index-url --no-header --no-annotate -q -o requirements.lock pyproject.toml

run-pas: setup ## serve the platform; PAS, the lane executors, listens on 6200
	$(BIN)/direng up

run-pas-stub: run-pas

pas-health: ## ask PAS how it is
	@curl -fsS $(PAS_URL)/health && echo
