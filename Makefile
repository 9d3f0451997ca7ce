# `make` alone lists what there is. Everything installs what it needs into .venv first.
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3)
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
WORKERS ?= 2
TALLY  := .tally

.DEFAULT_GOAL := help
.PHONY: help setup demo test check audit format bench simulate soak fuzz docs translations lock package clean

help:  ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(STAMP)  ## make .venv with the locked dependencies

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' \
	  || { echo "Bide needs Python 3.11 or 3.12: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) \
	  || { rm -rf $(VENV); echo "This Python can't make environments; on Debian: apt install python3-venv"; exit 1; }
	@echo "Installing the locked dependencies (once) ..."
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: setup  ## the main job for real: a relay, two people, two devices, one timeline
	@$(BIN)/bide demo

# Tests that look at a page in Chromium are skipped without it, unless BIDE_REQUIRE_BROWSER=1 makes that a failure.
test: setup  ## all tests; line and branch coverage of protocol, log and crypto at least 95 %
	$(BIN)/pytest -q -rs -n $(WORKERS) --dist worksteal -m counted --cov=bide.protocol --cov=bide.log --cov=bide.crypto \
	  --cov-branch --cov-report=term:skip-covered --cov-fail-under=95 tests/core
	$(BIN)/pytest -q -rs -n $(WORKERS) --dist worksteal -m "not counted" tests

check: setup  ## style, types, layers, freshness of the documents, dependencies
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy core sync_server client_cli tests benchmarks docs
	$(BIN)/lint-imports --no-cache --no-logo
	$(BIN)/python -m docs.generate --check
	$(BIN)/python -m docs.translate --check
	$(BIN)/python -m docs.dependencies

# pip-audit has an environment of its own: what it needs is no part of the locked set. --strict: a package that the database
# could not be asked about is a failure; without it that looks like a good end.
audit: setup  ## ask for known weaknesses of the locked dependencies (needs the network)
	@test -x $(VENV)/audit/bin/pip-audit || { $(BIN)/python -m venv $(VENV)/audit \
	  && $(VENV)/audit/bin/pip install --quiet --disable-pip-version-check 'pip-audit>=2.10,<3'; }
	$(VENV)/audit/bin/pip-audit --strict --disable-pip --require-hashes --progress-spinner off -r requirements.lock

docs: setup  ## bring the generated parts of the documents up to date
	$(BIN)/python -m docs.generate

translations: setup  ## collect what Bide says and bring the catalogues up to date
	$(BIN)/python -m docs.translate

format: setup  ## format and sort imports
	$(BIN)/ruff check --fix --quiet .
	$(BIN)/ruff format --quiet .

bench: setup  ## the figures, each beside its yardstick
	$(BIN)/python -m benchmarks

# SEED=7.13 is one world of the seed 7. STORY=file replays a story; SHRINK=file writes a short one of a world that breaks;
# WITHOUT='…' takes a safety out (see tests/simulation/controls.py), NO=copies leaves a kind of fault out.
simulate: setup  ## live through worlds in which everything goes wrong (SEED= STEPS=200000 WORKERS=2)
	$(BIN)/python tests/simulation --seed "$${SEED:-}" --steps $${STEPS:-200000} --seconds $${SECONDS_MAX:-0} --workers $(WORKERS) \
	  $(if $(STORY),--story "$(STORY)") $(if $(SHRINK),--shrink "$(SHRINK)") $(if $(WITHOUT),--without "$(WITHOUT)") \
	  $(foreach kind,$(SWITCH),--switch "$(kind)") $(foreach kind,$(NO),--no "$(kind)")

soak: setup  ## longer campaigns; prints seeds that replay, and what really hit (KILLS=20000 CUTS=100000 STEPS=10000000 SEED=1)
	@rm -f $(TALLY)
	SEED=$${SEED:-random} BIDE_TALLY=$(TALLY) KILLS=$${KILLS:-20000} CUTS=$${CUTS:-100000} HOME_CUTS=$${HOME_CUTS:-1000} ALL_PLACES=1 \
	  $(BIN)/pytest -q -n $(WORKERS) tests/crash; result=$$?; \
	  PYTHONPATH=tests $(BIN)/python -m crash.tally $(TALLY); exit $$result
	HYPOTHESIS_PROFILE=soak BIDE_COPIES=deep $(BIN)/pytest -q -n $(WORKERS) tests/core/replica
	SEED=$${SEED:-random} PARTITIONS=$${PARTITIONS:-2000} WEEK_EVENTS=$${WEEK_EVENTS:-1000} DAMAGES=$${DAMAGES:-4000} FUZZ_SESSIONS=$${FUZZ_SESSIONS:-3000} \
	  $(BIN)/pytest -q -n $(WORKERS) -rA tests/network tests/system/test_damage.py tests/system/test_lost_ends.py \
	  tests/fuzz/test_sessions.py
	$(BIN)/python tests/simulation --seed "$${SEED:-}" --steps $${STEPS:-10000000} --workers $(WORKERS)

# atheris has wheels for Linux; elsewhere it wants clang. So it is no part of the locked set.
fuzz: setup  ## fuzz every reader of bytes, MINUTES=1 each, or one TARGET=change
	@$(BIN)/python -c 'import atheris' 2>/dev/null || $(BIN)/pip install --quiet --disable-pip-version-check 'atheris>=3,<4'
	$(BIN)/python tests/fuzz --minutes $${MINUTES:-1} --target "$${TARGET:-}"

lock: setup  ## resolve the dependencies anew into requirements.lock
	$(BIN)/pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --upgrade --generate-hashes --no-emit-index-url --no-header \
	  --python-version 3.11 --extra dev pyproject.toml -o requirements.lock

package: setup  ## build the wheel and the sdist into dist/
	$(BIN)/python -m build --no-isolation

clean:  ## remove everything that was built
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .fuzz .coverage $(TALLY)
