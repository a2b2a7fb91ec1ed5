# Targets for people who work on mqd. Everything runs in the active Python environment.
PYTHON ?= python3

.PHONY: all proto lint types test man install install-compat systemd-test bench scale loads crash chaos story cluster-bench walk fuzz clients client-suites differential ops-tools engine help

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
	$(PYTHON) -m pytest -n 2

man:              ## regenerate the pages that come from tables
	$(PYTHON) -m mqd.config.manual >man/mqd.conf.5
	$(PYTHON) -m mqctl.manual man
	$(PYTHON) -m mqd.management.manual >man/mqd-management.7

DESTDIR ?= /
BINDIR ?= /usr/bin
install:          ## unit, user, folders, manual pages under DESTDIR (programs: pip install .)
	DESTDIR=$(DESTDIR) BINDIR=$(BINDIR) packaging/install.sh

COMPATDIR ?= /usr/lib/mqd/compat
USUAL_PATHS ?= no
install-compat:   ## RabbitMQ's names for the programs in COMPATDIR; USUAL_PATHS=yes: in /usr/sbin too
	DESTDIR=$(DESTDIR) BINDIR=$(BINDIR) COMPATDIR=$(COMPATDIR) USUAL_PATHS=$(USUAL_PATHS) packaging/install-compat.sh

systemd-test:     ## the service in a booted host: root, systemd-nspawn, /usr/bin/python3.11
	$(PYTHON) -m pytest -p no:randomly tests/hosts/service.py

chaos:            ## 100 rounds of faults on three nodes, 1,000,000 messages; CHAOS="--rounds 10" chooses
	$(PYTHON) -m tests.cluster.chaos --rounds 100 --messages 1000000 $(CHAOS)

story:            ## a cluster's life on three booted hosts: root, systemd-nspawn; STORY="--target rabbitmq"
	$(PYTHON) -m tests.cluster.story $(STORY)

cluster-bench:    ## three nodes beside three of RabbitMQ's; CLUSTER_BENCH="--parts quorum" chooses
	$(PYTHON) -m tests.cluster.bench $(CLUSTER_BENCH)

crash:            ## 200 rounds of kill -9 under load; CRASH="--rounds 1000 --seed 7" chooses
	$(PYTHON) -m tests.fault.crash_rounds $(CRASH)

walk:             ## every verb of every tool in every situation and format
	MQD_WALK=full $(PYTHON) -m pytest tests/ctl/test_walk.py

fuzz:             ## broken bytes for some minutes; FUZZ="--minutes 60 --seed 7" chooses
	$(PYTHON) -m tests.property.frames_fuzz $(FUZZ)

clients:          ## programs in Node, Go and Ruby against a broker of their own
	$(PYTHON) -m tests.suites.clients

client-suites:    ## other people's suites, against mqd and RabbitMQ; SUITES="kombu" chooses
	$(PYTHON) -m tests.suites.compare $(SUITES)

differential:     ## drawn programs on mqd and RabbitMQ; DIFFERENTIAL="--sequences 500 --features dlx"
	$(PYTHON) -m tests.differential $(DIFFERENTIAL)

ops-tools:        ## Ansible, Puppet, Pacemaker's agents on hosts of their own; OPS="--rows puppet" chooses
	$(PYTHON) -m tests.ops.compare $(OPS)

engine:           ## more rounds of killed nats-servers, and how fast records get into a log
	MQD_ENGINE=full $(PYTHON) -m pytest tests/cluster/engine
	$(PYTHON) -m tests.cluster.engine.bench

BENCH_KIT ?= ../shared/bench
bench:            ## rates, latency and memory beside RabbitMQ's; BENCH="--scenarios S1,S3" chooses
	tests/perf/bench.sh $(BENCH_KIT) $(BENCH)

scale:            ## 10,000 queues, 1,000,000 messages, beside RabbitMQ; SCALE="--queues 500" chooses
	$(PYTHON) -m tests.perf.scale $(SCALE)

loads:            ## long streams, a million messages nobody acknowledges, beside RabbitMQ's
	$(PYTHON) -m tests.perf.loads $(LOADS)

help:             ## this list
	@sed -n 's/^\([a-z-]*\): .*## /\1\t/p' $(MAKEFILE_LIST)
