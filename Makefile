# Everything a newcomer types. Each target sets up what it needs: `make run` and `make test` work in a fresh clone.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
ARGS ?=
# Most of the tests wait for something, so there are more processes than cores; a file is one process's.
AT_ONCE := --dist loadfile --no-loadscope-reorder --numprocesses

.DEFAULT_GOAL := help
.PHONY: help install run test test-plain test-fast lint format bench chaos fuzz model replay soak docs pictures dist old-data panels viewer site lock clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; say which with: make PYTHON=python3.12"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing the pinned dependencies into $(VENV) (a minute, once) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

install: $(STAMP) ## Set up .venv with the pinned dependencies

run: $(STAMP) ## Run everything on this machine: gateway, worker, embedded Valkey, sandbox phone (ARGS="--port 8081")
	@exec $(BIN)/presence-gateway dev $(ARGS)

test: $(STAMP) ## Run every test but the release's (CI runs test-plain and dist too)
	@$(BIN)/python -m pytest $(AT_ONCE) 4 --ignore tests/release $(ARGS)

test-plain: $(STAMP) ## Run the acceptance tests that meet the fast ways, with all of them off ([fast] in config/gateway.toml)
	@PLAIN_WAYS=1 $(BIN)/python -m pytest $(AT_ONCE) 2 tests/acceptance/test_contract.py tests/acceptance/test_indicators.py tests/acceptance/test_crash.py $(ARGS)

test-fast: $(STAMP) ## Run the tests that need no process but Valkey, and no browser
	@$(BIN)/python -m pytest tests/unit tests/contract tests/integration $(ARGS)

chaos: $(STAMP) ## Prove the promises: 2,000 simulated scenarios, then every fault for real (ARGS="worker Sentinel" for some)
	@PYTHONPATH=tests $(BIN)/python -m model 10000 2000
	@PYTHONPATH=tests $(BIN)/python -m chaos $(ARGS)

model: $(STAMP) ## Play 10,000 simulated scenarios, ten minutes (ARGS="300000 10000": first seed, how many)
	@PYTHONPATH=tests $(BIN)/python -m model $(or $(ARGS),100000 10000)

replay: $(STAMP) ## Replay one simulated scenario and print its timeline (SEED=17)
	@PYTHONPATH=tests $(BIN)/python -m model $(SEED)

fuzz: $(STAMP) ## Send 100,000 generated bad requests to both ports (ARGS="5000 7": how many, seed)
	@PYTHONPATH=tests $(BIN)/python -m fuzz $(ARGS)

soak: $(STAMP) ## Ten minutes of load: memory, descriptors, Redis keys stay flat (ARGS="--seconds 60")
	@PYTHONPATH=tests $(BIN)/python -m chaos.soak $(ARGS)

lint: $(STAMP) ## Check style, types, the import contracts and the Lua scripts
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@if command -v luacheck >/dev/null; then $(BIN)/python tests/lua_lint.py; else echo "Lua: not checked (apt-get install lua-check)"; fi

format: $(STAMP) ## Rewrite the code in the house style
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: $(STAMP) ## Measure, beside nginx + Lua, the obvious stack and plain arq, or one part (ARGS="--help")
	@PYTHONPATH=tests:bench $(BIN)/python -m comparison $(ARGS)

pictures: panels ## Take the README's pictures of the real pages, and draw the dashboard, into docs/images (needs Chromium, Prometheus)
	@PYTHONPATH=tests $(BIN)/python bench/take_pictures.py $(ARGS)

panels: $(STAMP) ## Draw the dashboard from a real Prometheus run into docs/images
	@PYTHONPATH=tests $(BIN)/python bench/draw_panels.py $(ARGS)

dist: $(STAMP) ## Build the wheel and the sdist into dist/, check them, build them again to compare, and run the wheel by itself
	@PYTHONPATH=tests $(BIN)/python -m release
	@PACKAGES=dist $(BIN)/python -m pytest tests/release $(ARGS)

old-data: $(STAMP) ## Make the data folder of 0.1.0 that the upgrade is tested with, with 0.1.0 itself (needs the history)
	@PYTHONPATH=tests $(BIN)/python -m fixtures.make_old_data

docs: $(STAMP) ## Write the pages that are made from the code
	@$(BIN)/python docs/configuration.py > docs/configuration.md
	@$(BIN)/python docs/upstreams.py > $(VENV)/upstreams.md && mv $(VENV)/upstreams.md docs/upstreams.md
	@$(BIN)/python docs/architecture.py > $(VENV)/architecture.md && mv $(VENV)/architecture.md docs/architecture.md

viewer: $(STAMP) ## Fetch the API reference's viewer from npm, the pinned version or another (ARGS="5.36.0")
	@$(BIN)/python docs/viewer.py $(ARGS)

site: $(STAMP) ## Build the pages into one searchable site that needs no network, in site/ (ARGS="--to FOLDER")
	@$(BIN)/python docs/site/build.py $(ARGS)

lock: $(STAMP) ## Pin the newest allowed dependencies
	@$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 --extra otel --group dev --group docs --group build --group release pyproject.toml -o requirements.lock
	@$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 --extra otel --group build --constraints requirements.lock pyproject.toml -o deploy/requirements.lock

clean: ## Remove what the targets made (data/ stays)
	rm -rf $(VENV) site .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
