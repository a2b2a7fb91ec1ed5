# Targets for people who work on mqd. Everything runs in the active Python environment.
PYTHON ?= python3

.PHONY: all proto lint types test

all: lint types test

proto:            ## regenerate mqd/rpc/v1 from proto/
	$(PYTHON) -m grpc_tools.protoc -I proto --python_out=. --grpc_python_out=. --mypy_out=. --mypy_grpc_out=. proto/mqd/rpc/v1/*.proto

lint:             ## ruff and the import contracts
	$(PYTHON) -m ruff check mqd mqctl tests
	$(PYTHON) -m ruff format --check mqd mqctl tests
	lint-imports

types:            ## mypy --strict
	$(PYTHON) -m mypy

test:             ## the default test run
	$(PYTHON) -m pytest
