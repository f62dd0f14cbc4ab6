# Two commands are enough: `make run` serves the app, `make test` checks and proves it. Each sets up all it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
WORKERS ?= 2
# A file read or written without an encoding works on one machine and fails on the next: that is an error here. The files of tests
# are dealt out to workers in the order of tests/conftest.py.
PYTEST := PYTHONWARNDEFAULTENCODING=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

.PHONY: run run-ray test test-fast lint train-setup browser proxies space clean

run: $(VENV)/.run
	$(BIN)/python app.py

run-ray: $(VENV)/.ray
	$(BIN)/python -m hypersd_app serve --replicas 2

test: lint browser proxies
	$(PYTEST)

# What an editor can wait for: no browser, no Ray, no training.
test-fast: $(VENV)/.dev
	$(PYTEST) -m "not browser and not ray and not training and not slow"

lint: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports --no-logo
	$(BIN)/mypy

train-setup: $(VENV)/.train

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(PIP) --upgrade pip

$(VENV)/.run: requirements.txt | $(BIN)/python
	$(PIP) -r requirements.txt
	touch $@

$(VENV)/.train: requirements-train.txt $(VENV)/.run
	$(PIP) -r requirements-train.txt
	touch $@

$(VENV)/.ray: requirements-ray.txt $(VENV)/.run
	$(PIP) -r requirements-ray.txt
	touch $@

$(VENV)/.annotators: requirements-annotators.txt $(VENV)/.run
	$(PIP) -r requirements-annotators.txt
	touch $@

$(VENV)/.dev: requirements-dev.txt $(VENV)/.run $(VENV)/.annotators $(VENV)/.train $(VENV)/.ray
	$(PIP) -r requirements-dev.txt
	touch $@

# A Chromium that is already there, else Debian's, else Playwright's own.
browser: $(VENV)/.dev
	@command -v chromium >/dev/null || command -v google-chrome >/dev/null || \
	(command -v apt-get >/dev/null && apt-get update -qq && apt-get install -y -qq chromium) || \
	$(BIN)/python -m playwright install chromium

# What the studio is tested behind. Where they can't be installed, those tests are skipped and say so.
proxies:
	@(command -v nginx && command -v caddy) >/dev/null || \
	(command -v apt-get >/dev/null && apt-get update -qq && apt-get install -y -qq --no-install-recommends nginx-light caddy) || true

# The folder that one pushes to a Hugging Face Space, checked, and opened once in an environment with only its requirements.
space: $(VENV)/.dev
	$(BIN)/python space/build.py build/space --start

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .grimp_cache
