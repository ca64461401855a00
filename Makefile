# einbox: every command makes its own environment first. Needs Python >= 3.11 with venv, and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=

.DELETE_ON_ERROR: # the python of half an environment would pass for a whole one the next time
.PHONY: run test drill bench soak fuzz check manage install environment clean

run: $(VENV)/run
	@EINBOX_DEMO=$${EINBOX_DEMO-1} exec $(BIN)/python manage.py up $(ARGS)

test: $(VENV)/test
	@$(BIN)/python -m pytest $(ARGS)

drill: $(VENV)/run
	@$(BIN)/python manage.py drill $(ARGS)

bench: $(VENV)/test
	@$(BIN)/python -m tests.bench $(ARGS)

soak: $(VENV)/test
	@SOAK=1 $(BIN)/python -m pytest tests/faults -s $(ARGS)

fuzz: $(VENV)/test
	@$(BIN)/python -m tests.fuzz $(ARGS)

check: $(VENV)/check
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy . && $(BIN)/lint-imports --no-cache
	@$(BIN)/djlint --quiet --lint einbox accounts audit spool
	@$(BIN)/python -m tests.production_check

# For production: the run-time packages and the PostgreSQL driver, nothing else.
install: requirements/production.txt $(VENV)/bin/python
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/production.txt

environment: $(VENV)/check

manage: $(VENV)/run
	@$(BIN)/python manage.py $(ARGS)

clean:
	rm -rf $(VENV) build dist

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "einbox needs Python 3.11 or newer; set PYTHON=…" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)

# Each list of packages holds the one before it.
define install
	@echo "Installing packages into $(VENV); this happens once." >&2
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
endef

$(VENV)/run: requirements/run.txt $(VENV)/bin/python
	$(install)
	@touch $@

$(VENV)/test: requirements/test.txt $(VENV)/bin/python
	$(install)
	@touch $(VENV)/run $@

$(VENV)/check: requirements/check.txt $(VENV)/bin/python
	$(install)
	@touch $(VENV)/run $(VENV)/test $@
