# make study      the whole study: environment, data, sweep, confirmation, report
# make test       the same environment; linter, formatter, types, tests
# make test-full  every test at its full size, all products of options too; its time was not measured
# make chaos      of these the faults of docs/reliability.md, and their table; half an hour
# make docs       the same environment; the site of the documents, build/site
# make clean      remove what these made, but neither results nor the state of a running sweep
#
# PYTHON=...      the Python, 3.11 to 3.13, that makes the environment; uv does it where it is installed
# VENV=...        an environment of your own, used as it is; PYTHONPATH is not

VENV ?= .venv
export DVC_NO_ANALYTICS := 1
export VENV
# Packages of another Python, and another repository than this folder's, are left out.
unexport GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE CDPATH
# Stages call `python`; only they see the environment, so that it is never made from itself.
INSIDE = env -u PYTHONPATH -u PYTHONHOME PYTHONNOUSERSITE=1 PATH="$$(cd "$$VENV" && pwd)/bin:$$PATH"

# The first of these that runs and is a Python 3.11 to 3.13.
PYTHON ?= $(shell for python in python3.11 python3.12 python3.13 python3 python; do \
	$$python -I -c 'import fcntl, sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null \
	&& { echo $$python; break; }; done)

.PHONY: help study test test-full docs chaos venv clean
.DEFAULT_GOAL := help

help:
	@sed -n 's/^# \{0,1\}//p;/^$$/q' Makefile

study: venv
	@command -v git >/dev/null || { echo "error: needs git, which is not on the PATH; install it" >&2; exit 2; }
	@said=$$(git ls-files --error-unmatch Makefile 2>&1) || { echo "error: DVC needs a git clone of" \
	"this project, and git says: $$said" >&2; echo "(a copy of the files alone is none: clone it)" >&2; exit 2; }
	@$(INSIDE) python -m pipeline check --idle --time
	@$(INSIDE) python -m dvc repro
	@$(INSIDE) python -m pipeline summary

test: venv
	@$(INSIDE) ruff check .
	@$(INSIDE) ruff format --check .
	@$(INSIDE) codespell *.md docs gsa_core pipeline scripts benchmarks clusters studies
	@said=$$(mktemp); $(INSIDE) mypy >"$$said" 2>&1 & types=$$!; trap "kill $$types; rm -f $$said" INT TERM; \
	$(INSIDE) pytest -n logical --maxprocesses 8 --dist loadfile --no-loadscope-reorder --durations=25; \
	tests=$$?; wait $$types; types=$$?; [ $$types = 0 ] || cat "$$said"; rm -f "$$said"; exit $$((tests + types))

# What an environment of the user's own needs, of the lists in pyproject.toml.
EXTRAS = study
test test-full docs chaos: EXTRAS = study dev

docs: venv
	@$(INSIDE) python scripts/build_docs.py

chaos: TESTS = tests/chaos tests/execution/test_interruptions.py tests/execution/test_engine.py tests/sweep/test_journal.py \
	tests/sweep/test_sweep.py tests/execution/test_cluster_address.py tests/prepare/test_resume.py
test-full chaos: venv
	@$(INSIDE) python -m pytest --full --durations=25 $(TESTS)

venv:
ifeq ($(VENV),.venv)
	@test -n "$(PYTHON)" || { echo "error: needs Python 3.11, 3.12 or 3.13, and none is on the PATH;" \
	"install one or name it: make PYTHON=/path/to/python3.11" >&2; exit 2; }
	@"$(PYTHON)" -I scripts/make_environment.py $(VENV)
else
	@test -n "$$VENV" && "$$VENV/bin/python" -I -c '' >/dev/null 2>&1 || { echo "error: VENV=$$VENV: has no" \
	"bin/python that runs; name an environment, or leave VENV out and one is made" >&2; exit 2; }
	@$(INSIDE) python -I scripts/make_environment.py --check $(EXTRAS)
endif

clean:
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis build *.egg-info
	find gsa_core pipeline tests scripts -name __pycache__ -type d -prune -exec rm -rf {} +
