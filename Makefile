# Everything a developer types. `make` alone lists it.
.DEFAULT_GOAL := help
.PHONY: help run test check soak bench messages lock clean

PYTHON := .venv/bin/python
UV_VERSION := 0.13.8
TRANSLATIONS := manga_backend/translations
LANGUAGES := fa en ru uz ar

help: ## List what make can do
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

run: .venv/.runtime ## Start the application and all it needs on this machine
	@exec $(PYTHON) -m tools.run

test: .venv/.development ## Run the tests; ARGS="-k name" goes to pytest
	@$(PYTHON) -m pytest $(ARGS)

check: .venv/.development ## Lint, format, types, import contracts, the rules of the house
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy
	.venv/bin/lint-imports
	$(PYTHON) -m pytest tests/architecture -q

soak: .venv/.development ## Run the long fault and load tests
	@$(PYTHON) -m pytest -m soak tests $(ARGS)

bench: .venv/.development .venv-bench/.installed ## Measure against peers; ARGS="--growth" for 1k to 1M users
	@$(PYTHON) -m benchmarks $(ARGS)

messages: .venv/.development ## Collect texts from the code, compile the translations
	.venv/bin/pybabel -q extract -F babel.cfg -k gettext_lazy --no-location --sort-output --omit-header \
		-o $(TRANSLATIONS)/messages.pot .
	@for language in $(LANGUAGES); do \
		.venv/bin/pybabel -q update --init-missing --no-fuzzy-matching --ignore-obsolete \
			--ignore-pot-creation-date -i $(TRANSLATIONS)/messages.pot \
			-d $(TRANSLATIONS) -l $$language || exit 1; \
	done
	.venv/bin/pybabel compile --statistics -d $(TRANSLATIONS)

lock: .venv/.development ## Pin all requirements anew after a change in a .in file
	.venv/bin/uv pip compile -q --python-version 3.11 --no-header \
		-o requirements.txt requirements.in > /dev/null
	.venv/bin/uv pip compile -q --python-version 3.11 --no-header --constraint requirements.txt \
		-o requirements-dev.txt requirements-dev.in > /dev/null

clean: ## Remove caches and build products; never data, never .venv
	@find . \( -path ./.venv -o -path ./instance -o -path ./.git -o -name node_modules \) -prune \
		-o -type d -name __pycache__ -prune -exec rm -rf {} +
	@rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis .schemathesis \
		.import_linter_cache .coverage .coverage.* htmlcov build dist *.egg-info

# The stamps: what was installed last is as new as the list it came from.
.venv/.runtime: requirements.txt
	@mkdir -p .venv && $(ONE_AT_A_TIME) sh -c "$$INSTALL" install $@ requirements.txt

.venv/.development: requirements.txt requirements-dev.txt
	@mkdir -p .venv && $(ONE_AT_A_TIME) sh -c "$$INSTALL" install $@ requirements-dev.txt

.venv-bench/.installed: benchmarks/requirements.txt .venv/.development
	@echo "Installing $< into .venv-bench"
	@[ -x .venv-bench/bin/python ] || $(PYTHON) -m venv .venv-bench
	@.venv-bench/bin/python -m pip install -qq --disable-pip-version-check -r $<
	@touch $@

ONE_AT_A_TIME = $(shell command -v flock > /dev/null && echo flock .venv/.installing)

# $1 is the stamp, $2 the list. uv is ten times faster than pip; where it cannot be had, pip does.
define INSTALL
set -eu
is_new_enough() { "$$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null; }
has_all() { [ -e "$$1" ] && [ -z "$$(find requirements.txt "$$2" -newer "$$1")" ]; }
has_all "$$1" "$$2" && exit  # Another make did it while we waited.

if ! is_new_enough .venv/bin/python; then
    for found in python3.11 python3.12 python3.13 python3 python none; do
        is_new_enough "$$found" && break
    done
    if [ "$$found" = none ]; then
        echo 'No Python 3.11 or newer on PATH. On Debian: apt-get install python3 python3-venv' >&2
        exit 1
    fi
    if ! "$$found" -c 'import venv, ensurepip' 2> /dev/null; then
        version=$$("$$found" -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
        echo "$$version cannot make a virtual environment: apt-get install $$version-venv" >&2
        exit 1
    fi
    echo "Making .venv with $$found"
    rm -f .venv/.runtime .venv/.development
    rm -rf .venv/bin .venv/lib .venv/lib64 .venv/include .venv/pyvenv.cfg
    "$$found" -m venv .venv
fi

echo "Installing $$2 into .venv"
pip() { .venv/bin/python -m pip --disable-pip-version-check "$$@"; }
pip --version > /dev/null 2>&1 || .venv/bin/python -m ensurepip > /dev/null
[ -x .venv/bin/uv ] || pip install -qq uv==$(UV_VERSION) || echo 'No uv; going on with pip' >&2
UV_DEFAULT_INDEX=$${UV_DEFAULT_INDEX:-$${PIP_INDEX_URL:-$$(pip config get global.index-url 2> /dev/null || true)}}
[ -z "$$UV_DEFAULT_INDEX" ] || export UV_DEFAULT_INDEX
{ [ -x .venv/bin/uv ] && .venv/bin/uv pip install -q --python .venv/bin/python --compile-bytecode -r "$$2"; } ||
    pip install -qq -r "$$2"
touch "$$1"
endef
export INSTALL
