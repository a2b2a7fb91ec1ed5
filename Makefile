# Targets for people who work on mqd. Everything runs in the active Python environment.
PYTHON ?= python3

.PHONY: all proto lint types test man install systemd-test bench clients client-suites help

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

man:              ## regenerate the pages that come from tables
	$(PYTHON) -m mqd.config.manual >man/mqd.conf.5

DESTDIR ?= /
BINDIR ?= /usr/bin
install:          ## unit, user, folders, manual pages under DESTDIR (programs: pip install .)
	DESTDIR=$(DESTDIR) BINDIR=$(BINDIR) packaging/install.sh

systemd-test:     ## the service in a booted host: root, systemd-nspawn, /usr/bin/python3.11
	$(PYTHON) -m pytest -p no:randomly tests/hosts/service.py

clients:          ## programs in Node, Go and Ruby against a broker of their own
	$(PYTHON) -m tests.suites.clients

client-suites:    ## other people's suites, against mqd and RabbitMQ; SUITES="kombu" chooses
	$(PYTHON) -m tests.suites.compare $(SUITES)

BENCH_KIT ?= ../shared/bench
bench:            ## rates, latency and memory beside RabbitMQ's; BENCH="--scenarios S1,S3" chooses
	tests/perf/bench.sh $(BENCH_KIT) $(BENCH)

help:             ## this list
	@sed -n 's/^\([a-z-]*\): .*## /\1\t/p' $(MAKEFILE_LIST)
