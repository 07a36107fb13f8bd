# `make run` trains, tests and exports the flagship; `make test` passes the tests. Both start from
# a machine that has Python 3.11 to 3.13, make and pip, in either order and again.
#
# ARGS is added to the command of `make run`: make run ARGS="--sample --epochs 2" takes a minute.

FITS = import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
# TensorFlow 2.21 has no wheel for Python 3.14
PYTHON ?= $(firstword $(foreach p,python3 python3.13 python3.12 python3.11,\
  $(shell $(p) -c '$(FITS)' 2>/dev/null && echo $(p))))
PACKAGE_DATA = /usr/share/datasets/fashion-mnist

.PHONY: help run test coverage lint docs bench bench-accuracy data clean
.DELETE_ON_ERROR:

help:
	@echo "make run             train, test and export the flagship (3 to 8 minutes on 2 cores)"
	@echo "make test            run the tests"
	@echo "make coverage        run them, and say how much of each room they cover"
	@echo "make lint            check style, types and which room imports which"
	@echo "make docs            build the documentation as a site, in docs/_build/"
	@echo "make bench           measure speed beside plain Keras and PyTorch"
	@echo "make bench-accuracy  measure the time to each published accuracy (resumes)"
	@echo "make clean           remove the environment and all runs; exported models/ stay"

run: .venv/ready data
	.venv/bin/python -m kerascw run fashion --or-sample $(ARGS)

test: .venv/ready data
	.venv/bin/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

# apart from `make test`, which measuring makes slower by a fifth
coverage: .venv/ready data
	.venv/bin/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --cov --cov-report=
	@for file in kerascw/*/__init__.py tuning/__init__.py; do room=$$(dirname $$file); \
	  printf '%3s %%  %s\n' "$$(.venv/bin/python -m coverage report --format=total --include="$$room/*")" $$room; \
	done | sort -n

lint: .venv/ready
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports

docs: .venv/ready
	.venv/bin/python -m sphinx -q -W --keep-going docs docs/_build

bench: .venv/ready data
	.venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt \
	  -e '.[bench]'
	.venv/bin/python benchmarks/bench.py

# resumes: finished runs in runs/time_to_accuracy are not trained again
bench-accuracy: .venv/ready data
	.venv/bin/python benchmarks/time_to_accuracy.py

.venv/ready: pyproject.toml constraints.txt
	@[ -n "$(PYTHON)" ] && $(PYTHON) -c '$(FITS)' || \
	  { echo "kerascw needs Python 3.11, 3.12 or 3.13; found: $$(python3 --version 2>&1)"; exit 1; }
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test,lint,docs]'
	touch $@

# Debian and Ubuntu have Fashion-MNIST as a package. Where it cannot be installed, TFDS or the
# bundled sample serve; the program says which.
data:
	@if [ -z "$$KERASCW_DATA_DIR" ] && [ ! -d $(PACKAGE_DATA) ] && command -v apt-get >/dev/null; then \
	  sudo=; [ "$$(id -u)" = 0 ] || sudo="sudo -n"; \
	  $$sudo apt-get install -qq -y dataset-fashion-mnist >/dev/null 2>&1 \
	  || { $$sudo apt-get update -qq && $$sudo apt-get install -qq -y dataset-fashion-mnist; } >/dev/null 2>&1 \
	  || echo "dataset-fashion-mnist could not be installed; going on without it"; \
	fi

clean:
	rm -rf .venv runs build dist docs/_build .coverage *.egg-info
