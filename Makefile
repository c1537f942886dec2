# `make run` opens the dashboard, `make test` runs the whole suite, `make coverage` tells the lines of rvq_core that it
# leaves out; all set up what they need first.
PYTHON ?= python3
PORT ?= 8501
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: run install test coverage lint docs clean

run: $(VENV)/installed
	$(BIN)/rvq-lens dash --port $(PORT)

install: $(VENV)/installed

test: $(VENV)/installed-test
	$(BIN)/python -m pytest -n 2 --dist loadgroup

coverage: $(VENV)/installed-test
	rm -rf build/coverage
	$(BIN)/python -m coverage run -m pytest -n 2 --dist loadgroup
	$(BIN)/python -m coverage combine --quiet
	$(BIN)/python -m coverage report

lint: $(VENV)/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports

docs: $(VENV)/installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@echo "build/site/index.html"

clean:
	rm -rf $(VENV)

# Said where the set-up fails; nothing half made is left, so that the same command can be given again.
NO_VENV = rvq-lens: $(PYTHON) made no virtual environment. On Debian and Ubuntu: apt install python3-venv, then try again
NO_PACKAGES = rvq-lens: the packages could not be installed, for the reason that pip gives above. No network: try again with one; \
behind a proxy: set HTTPS_PROXY; packages fetched elsewhere: set PIP_NO_INDEX=1 and PIP_FIND_LINKS=FOLDER; \
a pip before 21.3 or a broken $(VENV): make clean. Then give the same command again
OLD = rvq-lens needs Python 3.11 or newer; found $$found. Try: make $(MAKECMDGOALS) PYTHON=python3.11

$(VENV)/bin/python:
	@found=$$(command -v $(PYTHON) >/dev/null && $(PYTHON) --version 2>&1 || echo "no $(PYTHON)"); \
		$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { echo "$(OLD)" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "$(NO_VENV)" >&2; exit 1; }

$(VENV)/installed: $(VENV)/bin/python pyproject.toml constraints.txt
	@echo "Installing rvq-lens into $(VENV) (some minutes the first time)"
	@$(PIP) install --constraint constraints.txt --editable . || { echo "$(NO_PACKAGES)" >&2; exit 1; }
	@touch $@

$(VENV)/installed-test: $(VENV)/installed
	@echo "Installing the test tools into $(VENV)"
	@$(PIP) install --constraint constraints.txt --editable '.[test]' || { echo "$(NO_PACKAGES)" >&2; exit 1; }
	@touch $@

$(VENV)/installed-docs: $(VENV)/installed
	@echo "Installing what builds the texts as a site into $(VENV)"
	@$(PIP) install --constraint constraints.txt --editable '.[docs]' || { echo "$(NO_PACKAGES)" >&2; exit 1; }
	@touch $@
