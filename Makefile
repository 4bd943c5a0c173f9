# What one does with this repository; `make` alone lists it. The work is done by cargo and by the scripts in deploy/.

.DEFAULT_GOAL := help
.PHONY: help demo test lint chaos bench binary deb image chart manifests artefacts acceptance kafka-start kafka-stop

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# rustup's cargo, also in a shell that was open when it came.
export PATH := $(PATH):$(HOME)/.cargo/bin

demo: ## a small city at risk, in one process; installs what it lacks
	@deploy/setup.sh demo
	cargo run --release --bin riskflow -- demo $(ARGS)

test: ## all tests; installs what it lacks, and starts a Kafka of its own unless RISKFLOW_TEST_KAFKA=HOST:PORT names one
	@deploy/setup.sh test
	deploy/test.sh

lint: ## format, clippy, dependencies, scripts, alert rules
	deploy/lint.sh

chaos: ## kills the job and the broker again and again; RISKFLOW_CRASHES says how often (200)
	@deploy/setup.sh test
	RISKFLOW_CRASHES=$${RISKFLOW_CRASHES:-200} RISKFLOW_REQUIRE_KAFKA=1 deploy/test.sh --test suite -- --nocapture --include-ignored chaos simulation

acceptance: ## what takes too long or needs too much for CI: artefacts in bare trees, manifests, a real Prometheus, 200 crashes
	deploy/acceptance.sh

bench: ## throughput and memory against a plain loop, latency, and the hot path by itself
	benches/run.sh

# Artefacts go to target/dist. PROGRAM=FILE packs a program that is finished; without it a release build comes first.
binary: ## target/dist/riskflow, stripped, with its debug information and what it is made of (SBOM) beside it
	deploy/binary.sh $(if $(PROGRAM),--program $(PROGRAM))

deb: binary ## a Debian package with a systemd unit, and one with the debug information
	deploy/debian/build.sh

image: binary ## a container image as an OCI layout, without an engine
	deploy/container/build.sh

chart: ## the Helm chart as target/dist/riskflow-VERSION.tgz
	@deploy/tools.sh install helm
	PATH="$$PATH:$$(deploy/tools.sh path)" helm package deploy/helm/riskflow --destination target/dist

artefacts: deb image chart ## all of these

manifests: ## writes anew what deploy/kubernetes takes from the chart
	@deploy/tools.sh install helm
	deploy/kubernetes/render.sh

kafka-start: ## a Kafka node on this machine, data in data/kafka; prints brokers=HOST:PORT
	deploy/kafka/kafka.sh start --data data/kafka

kafka-stop: ## stops it; the data stays
	deploy/kafka/kafka.sh stop --data data/kafka
