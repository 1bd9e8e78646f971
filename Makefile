# SPDX-License-Identifier: Apache-2.0
# A thin wrapper: Meson and Ninja build, the scripts do the rest.
BUILD ?= build
export HAVEN_BUILD = $(abspath $(BUILD))

PROGRAMS = haven havend haven-volume

all: build

deps:
	@scripts/deps.sh

build: deps
	@[ -f $(BUILD)/build.ninja ] || meson setup $(BUILD)
	@ninja -C $(BUILD)
	@for p in $(PROGRAMS); do \
	    for at in src/bin/$$p/$$p sim/$$p; do \
	        [ ! -x $(BUILD)/$$at ] || ln -sfn $$at $(BUILD)/$$p; \
	    done; \
	done

demo: build
	@lab/demo

test: build
	@tests/run $(BUILD)

lab: build
	@lab/lab up
	@lab/lab status

install: build
	@meson install -C $(BUILD) --no-rebuild

fuzz: deps
	@tests/fuzz/run

check-format:
	@git ls-files '*.c' '*.h' | xargs clang-format --dry-run -Werror

clean:
	@rm -rf $(BUILD) $(BUILD)-asan build-fuzz

.PHONY: all deps build demo test lab install fuzz check-format clean
