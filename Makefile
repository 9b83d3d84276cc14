# phusong: every command a newcomer needs; `make help` lists them.
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
ARGS ?=
NAME ?= rebuild
export PYTHONDONTWRITEBYTECODE := 1

.DEFAULT_GOAL := help
.PHONY: help setup tools demo check test integration e2e faults up mutants fuzz bench alert-quality screenshots clean

help: ## list these commands
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-13s %s\n", $$1, $$2}'

setup: $(STAMP) ## install everything into .venv (again only when pyproject.toml or constraints.txt changed)

$(STAMP): pyproject.toml constraints.txt ops/setup.sh
	@bash ops/setup.sh venv $(VENV) >&2
	@touch $(STAMP)

tools: ## install the tests' programs (Prometheus, kcat, curl, LibreOffice Calc), where this machine lets us
	@bash ops/setup.sh tools >&2

demo: $(STAMP) ## the whole pipeline on a real Kafka: 137 of 138 communes (ARGS="--once --json" prints and stops)
	@$(BIN)/phusong demo $(ARGS)

check: $(STAMP) ## format, lint, types, import walls, generated files, unit, property and contract tests: about three minutes
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m dashboards.build --check
	$(BIN)/python -m ops.contracts --check
	$(BIN)/phusong config check
	$(BIN)/phusong register check
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest tests/unit tests/property tests/contract
	$(BIN)/coverage combine -q
	$(BIN)/coverage report --include='phusong/*' --fail-under=95

test: $(STAMP) tools check integration e2e faults ## everything, with the real Kafka and Prometheus that it starts itself

integration: $(STAMP) ## each part on a real Kafka
	$(BIN)/pytest tests/integration

e2e: $(STAMP) ## from a sent event to a firing alert, with a real Prometheus
	$(BIN)/pytest tests/e2e

faults: $(STAMP) ## workers killed and stopped, the broker restarted, a topic created again
	$(BIN)/pytest tests/faults

up: ## everything in containers on this machine, with Docker Compose; the first time it makes Grafana's password
	@mkdir -p -m 700 secrets
	@for name in grafana-admin-password ioc-webhook-secret; do \
		test -s secrets/$$name || head -c 24 /dev/urandom | base64 > secrets/$$name; done
	@test -e secrets/smtp-password || : > secrets/smtp-password
	@# readable for the container's user, behind a directory that is not readable for this machine's other users
	@chmod 444 secrets/grafana-admin-password secrets/ioc-webhook-secret secrets/smtp-password
	docker compose up --build --wait

mutants: $(STAMP) ## deliberate faults in the core, each caught by a test (about ten minutes); prints one JSON object
	@$(BIN)/python -m tests.mutants

fuzz: $(STAMP) ## a million inputs to the decoders (about twenty minutes); prints one JSON object
	@$(BIN)/python -m tests.fuzz --runs 1000000 $(ARGS) 2>/dev/null

bench: $(STAMP) ## measure (NAME=rebuild, live, audit, assess, gateway, send, simulate, feed or wallboard); prints one JSON object
	@$(BIN)/python -m bench.$(NAME) $(ARGS)

alert-quality: $(STAMP) ## how good the alerts are, over simulated years and a stopped worker (about ten minutes); prints one JSON object
	@$(BIN)/python -m bench.alert_quality

screenshots: $(STAMP) ## take the pictures of docs/images/ from a running system, with the Chromium of this machine
	@$(BIN)/python -m tests.screenshots

clean: ## remove what these commands made
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage .coverage.*
