# What the README shows and CI runs. Everything happens in .venv, which the first target that needs it makes.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.NOTPARALLEL:
.DEFAULT_GOAL := help

PYTHON ?= python3
WORKERS ?= 2
ACCOUNTS ?= 35000
RUNS ?= 5
ENTRIES ?= 3
PROFILE ?= fast
SIZE ?= nightly
SEED ?= 1
PROOF ?= out/demo
BIN := .venv/bin

# Compiled kernels are kept here, so that the demo, the tests and their workers compile each of them once.
export NUMBA_CACHE_DIR ?= $(CURDIR)/.cache/numba

.PHONY: help venv demo test check lint bare negative determinism adversary mutants vectors assurance coverage fix bench bench-plots keys lock clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 14

venv: .venv/.ready ## set up what is missing in .venv

# --no-deps: the lock is complete, and leaves out pysha3 on purpose (see [tool.uv] in pyproject.toml).
.venv/.ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed: make PYTHON=...")'
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear .venv
	@echo "Installing the locked packages into .venv ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --use-pep517 --require-hashes --no-deps -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

demo: venv ## a real account file becomes a proof and a verdict; a forged variant is refused
	@$(BIN)/solvent demo --out $(PROOF)

test: venv ## the tests, in random order
	@$(BIN)/python -m pytest -n $(WORKERS) --junitxml .cache/tests.xml

check: lint bare negative determinism test ## everything CI checks, tests last

lint: venv ## style, types, import contracts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

bare: demo ## the verifier alone, in an environment with nothing installed
	@PYTHON=$(BIN)/python bash tests/bare_venv.sh $(PROOF) $(PROOF).bundle.json

negative: venv ## what must be refused is refused when asserts are compiled away, too
	@$(BIN)/python -O -m tests.run_negative

coverage: venv ## every branch of verifier/ is reached by tests/verifier alone (4 minutes)
	@rm -rf .cache/coverage && mkdir -p .cache/coverage
	@$(BIN)/python -m coverage run -m pytest -q -n 0 tests/verifier
	@$(BIN)/python -m coverage combine -q && $(BIN)/python -m coverage report

determinism: venv ## two hash seeds, the same bytes
	@$(BIN)/python -m tests.determinism

adversary: venv .venv/.fuzz ## the suite that tries to cheat: hours, figures go to docs/adversary.json (SIZE=short: minutes, no figures)
	@$(BIN)/python -m tests.adversary --size $(SIZE) --seed $(SEED) $(if $(filter nightly,$(SIZE)),--write docs/adversary.json)

# Coverage-guided fuzzing has wheels for few platforms; without it that part says that it did not run.
.venv/.fuzz: requirements-fuzz.lock .venv/.ready
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements-fuzz.lock \
		|| echo "make adversary: no wheel of the fuzzer for this platform, so it is left out"
	@touch $@

mutants: venv ## the mutation score of verifier/ and of the ledger's money paths: hours, goes on where it was stopped
	@$(BIN)/python -m tests.adversary.mutants verifier && $(BIN)/python -m tests.adversary.mutants exchange

vectors: venv ## the test vectors: are they what the generator makes, and does the verifier agree
	@$(BIN)/python -m tests.vectors.make --check && $(BIN)/python -m tests.vectors.run

assurance: venv ## docs/assurance.md from the last 'make test' and the last 'make adversary'
	@$(BIN)/python -m tests.attacks > docs/assurance.md.new
	@mv docs/assurance.md.new docs/assurance.md

fix: venv ## repair what ruff can repair
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: venv ## speed, floors, memory, proof size, costs of margins and scenarios, the ledger: ACCOUNTS, ENTRIES, PROFILE, RUNS
	@$(BIN)/solvent bench --accounts $(ACCOUNTS) --entries $(ENTRIES) --profile $(PROFILE) --runs $(RUNS)
	@$(BIN)/solvent bench --floors --accounts $(ACCOUNTS) --entries $(ENTRIES) --profile $(PROFILE) --runs $(RUNS)
	@$(BIN)/solvent bench --ledger --runs $(RUNS)
	@$(BIN)/solvent bench --service --runs $(RUNS)
	@$(BIN)/solvent bench --compare --profile $(PROFILE) --runs $(RUNS)

bench-plots: venv ## cost against accounts (10^3 to 10^7, an hour) and entries: docs/plots and the figures behind it
	@$(BIN)/solvent bench --sweep accounts --full --runs $(RUNS) --profile $(PROFILE) --out docs/plots/accounts.json
	@$(BIN)/solvent bench --sweep entries --runs $(RUNS) --profile $(PROFILE) --out docs/plots/entries.json
	@$(BIN)/solvent bench --plots docs/plots docs/plots/accounts.json docs/plots/entries.json

keys: venv ## export the circuits again into verifier/keys, and their digests into the page
	@$(BIN)/python -m circuits.export
	@$(BIN)/python -m api.page

lock: ## resolve the dependencies again (needs uv)
	@uv lock --quiet --upgrade
	@{ echo "# Made by 'make lock' from pyproject.toml. Install with: pip install --require-hashes --no-deps -r requirements.lock"; \
	   uv export --quiet --locked --all-extras --all-groups --no-group fuzz --no-emit-project --no-header --format requirements-txt; \
	 } > requirements.lock.new
	@mv requirements.lock.new requirements.lock
	@{ echo "# Made by 'make lock'. What coverage-guided fuzzing needs; 'make adversary' installs it."; \
	   uv export --quiet --locked --only-group fuzz --no-emit-project --no-header --format requirements-txt; \
	 } > requirements-fuzz.lock.new
	@mv requirements-fuzz.lock.new requirements-fuzz.lock

clean: ## remove what the targets above made
	@rm -rf .venv .cache .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache out
