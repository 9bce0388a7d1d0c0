# What a user of this repository does: `make build`, `make test`, `make lint`, `make demo`, `make bench`. All that is built or downloaded lies
# outside the checkout, in $(PYRITE_HOME); only bin/ is left here.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := build

export PYRITE_HOME ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/pyrite
export CARGO_TARGET_DIR ?= $(PYRITE_HOME)/target
# Property tests draw the same cases each time; another seed looks further.
export PROPTEST_RNG_SEED ?= 1
# cargo, when rustup installed it for this user only.
export PATH := $(PATH):$(HOME)/.cargo/bin

PYTHON := $(PYRITE_HOME)/venv/bin/python

.PHONY: build setup test test-rust test-python lint demo bench clean

## bin/pyrite and bin/submit
build: setup
	cargo build --locked -p pyrite-cli
	@mkdir -p bin
	@# A new file in place of the old one: the old one may be running.
	@cp "$(CARGO_TARGET_DIR)/debug/pyrite" bin/.pyrite.new && mv -f bin/.pyrite.new bin/pyrite
	@ln -sfn pyrite bin/submit
	@bin/pyrite --version

## System packages of the build, and a Python with the Spark Connect client
setup:
	@scripts/setup.sh

## Every test; the last lines say how many
test:
	@scripts/setup.sh --test
	@$(MAKE) --no-print-directory build
	@$(MAKE) --no-print-directory test-rust
	@$(MAKE) --no-print-directory test-python

test-rust:
	cargo test --locked --workspace
	cargo test --locked --manifest-path deploy/demo-broker/Cargo.toml

test-python:
	@directories=(); for directory in tests/python tests/oracle; do \
	  if compgen -G "$$directory/test_*.py" >/dev/null || compgen -G "$$directory/**/test_*.py" >/dev/null; then \
	    directories+=("$$directory"); fi; done; \
	if (( $${#directories[@]} )); then PYTHONDONTWRITEBYTECODE=1 "$(PYTHON)" -m pytest -p no:cacheprovider "$${directories[@]}"; fi

## Formatting and clippy: fails on whatever they say
lint:
	cargo fmt --check
	cargo fmt --check --manifest-path deploy/demo-broker/Cargo.toml
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cargo clippy --locked --manifest-path deploy/demo-broker/Cargo.toml --all-targets -- -D warnings

## Broker, master, two workers, load and the crash-monitoring program, for DEMO_SECONDS (600)
demo: build
	@scripts/demo.sh

## Pyrite beside real Spark (installs Java and Spark)
bench: build
	@scripts/setup.sh --bench
	@scripts/bench.sh

## What `make build` left here; downloads and compiled crates stay in $(PYRITE_HOME)
clean:
	rm -rf bin
