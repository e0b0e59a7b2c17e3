# Two commands: `make serve` and `make test`. Both install what is missing first; `make help` lists the rest.

PYTHON ?= python3
VENV := .venv/bin
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help install serve test long clients lint format lock

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /  make \1	/p' Makefile

install: ## put everything into .venv (ACCEL=cuda|rocm|vulkan|metal|cpu, LLAMAD_AMX=1; see docs/install.md)
	@command -v $(PYTHON) >/dev/null || { echo "llamad needs Python 3.11 or newer, and there is no $(PYTHON)." \
		"Debian/Ubuntu: sudo apt-get install -y python3" >&2; exit 1; }
	@$(PYTHON) -m tools.install

serve: install ## start the daemon; the bundled model goes into an empty store
	@LLAMAD_SEED=1 exec $(VENV)/python -m server serve

test: install ## the tests, but the long ones
	@$(VENV)/python -m pytest -m "not long" $(ARGS)

long: install ## the long tests: builds, installations, whole-system runs
	@$(VENV)/python -m pytest -m long $(ARGS)

clients: install ## clients of other languages and of frameworks, for the tests, into .clients (wants the network and npm)
	@$(VENV)/uv venv -q --allow-existing --python $(VENV)/python .clients
	@$(VENV)/uv pip install -q --python .clients/bin/python -r tests/contract/clients/requirements.txt
	@cp tests/contract/clients/package.json tests/contract/clients/package-lock.json .clients/
	@npm ci --silent --no-audit --no-fund --prefix .clients

lint: install ## style, types, layers, and that the lock files belong together
	@$(VENV)/python -m tools.lint

format: install ## rewrite the sources in the project's style
	@$(VENV)/ruff check --fix . && $(VENV)/ruff format .

lock: install ## resolve anew, after a change of the dependencies in pyproject.toml
	@$(VENV)/uv lock && $(VENV)/python -m tools.lint --write-requirements
