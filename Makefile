# `make run` trains, tests and exports the flagship; `make test` passes the tests. Both start from
# a machine that has Python 3.11 or newer, make and pip.

PYTHON ?= python3
PACKAGE_DATA = /usr/share/datasets/fashion-mnist

.PHONY: run test lint bench bench-accuracy data clean
.DELETE_ON_ERROR:

run: .venv/ready data
	.venv/bin/python -m kerascw run fashion --or-sample

test: .venv/ready data
	.venv/bin/python -m pytest -n 2 --dist worksteal

lint: .venv/ready
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports

bench: .venv/ready data
	.venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt \
	  -e '.[bench]'
	.venv/bin/python benchmarks/bench.py

# resumes: what runs/time_to_accuracy keeps is not trained again
bench-accuracy: .venv/ready data
	.venv/bin/python benchmarks/time_to_accuracy.py

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test,lint]'
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
	rm -rf .venv runs build dist *.egg-info
