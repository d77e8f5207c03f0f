# Each target makes what it needs, after looking for what is there already, and
# says what it does. A second run installs nothing.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
COMPONENTS := target/components
# What cargo is run by to build the tests; CI has a lint that compiles.
BUILT_BY ?=

.PHONY: help build demo test lint bench transforms transforms-rust languages chaos services services-stop fmt

help: ## Show the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort | awk -F'\t' '{printf "  make %-14s %s\n", $$1, $$2}'

build: toolchain ## Build the relay for production: target/release/relay
	cargo build --release --locked -p relay

demo: toolchain transforms-rust ## Show the main job on a real Postgres: dual writes fail, the outbox does not
	@tests/services/install.sh postgres
	cargo build --locked -p relay
	target/debug/relay demo

test: toolchain transforms ## Run every test on a scratch Postgres and a real Apache Kafka
	@.ci/stage "services installed" tests/services/install.sh
	@.ci/stage "transforms' own tests" transforms/test.sh
	@.ci/stage "relay built" $(BUILT_BY) cargo test --locked -p relay --no-run
	@transforms/languages.sh target/debug/relay $(COMPONENTS)
	@.ci/stage "relay tested" $(BUILT_BY) cargo test --locked -p relay -- --test-threads=4

chaos: toolchain transforms-rust ## Ten minutes of kills, pauses and a network that fails, in both ways of delivery
	@tests/services/install.sh postgres kafka
	RELAY_CHAOS_SECONDS=200 cargo test --locked -p relay --test integration -- chaos:: --test-threads=1 --nocapture

lint: toolchain ## fmt, clippy, deny, shellcheck
	@.ci/stage "lint" .ci/lint

bench: toolchain transforms-rust ## Measure against the bare loops, in one run
	@tests/services/install.sh postgres kafka
	@.ci/stage "js transforms built" transforms/js/build.sh $(COMPONENTS)
	RELAY_COMPONENTS=$(CURDIR)/$(COMPONENTS) cargo bench --locked -p relay

transforms-rust: ## Build the Rust transforms and the tests' Rust guests into target/components
	@.ci/stage "Rust transforms built" transforms/build.sh $(COMPONENTS)

transforms: transforms-rust ## Build the transforms in every language, and the tests' guests
	@.ci/stage "C guest built" tests/guests/c/build.sh $(COMPONENTS)/guests/minimal-c.wasm
	@.ci/stage "Go guest built" tests/guests/go/build.sh $(COMPONENTS)/guests/minimal-go.wasm
	@for language in c go js python; do .ci/stage "$$language transforms built" transforms/$$language/build.sh $(COMPONENTS); done

languages: toolchain transforms ## Run the shared cases on every language's transforms, and try each template
	cargo build --locked -p relay
	@transforms/languages.sh target/debug/relay $(COMPONENTS)

services: ## Start a scratch Postgres and Kafka on loopback and print their addresses
	@tests/services/up.sh

services-stop: ## Stop them and remove their data
	@tests/services/down.sh

fmt: ## Format the code
	cargo fmt --all

.PHONY: toolchain
toolchain:
	@.ci/toolchain
