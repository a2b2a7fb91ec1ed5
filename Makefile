# Targets for people who work on mqd. Everything runs in the active Python environment.
PYTHON ?= python3

.PHONY: all proto lint types test

all: lint types test

proto:            ## regenerate mqd/rpc/v1 from proto/
	$(PYTHON) -m grpc_tools.protoc -I proto --python_out=. --grpc_python_out=. --mypy_out=quiet:. --mypy_grpc_out=quiet:. proto/mqd/rpc/v1/*.proto
	$(PYTHON) proto/make_index.py

lint:             ## ruff and the import contracts
	$(PYTHON) -m ruff check mqd mqctl tests
	$(PYTHON) -m ruff format --check mqd mqctl tests
	lint-imports

types:            ## mypy --strict
	$(PYTHON) -m mypy

test:             ## the default test run
	$(PYTHON) -m pytest
