# Thin names over the CMake presets and scripts; nothing happens only here. `make help` lists them.
SHELL := /bin/bash
PRESET ?= release
JOBS ?= $(shell nproc)

.PHONY: build run test unit asan tsan coverage lint format generate bench soak sim help setup clean

build: ## build the service and the tests (PRESET=debug, asan, tsan)
	@cmake --preset $(PRESET) > /dev/null
	@ln -sfn build/$(PRESET)/compile_commands.json compile_commands.json
	@cmake --build --preset $(PRESET) -j $(JOBS)

run: ## install what is needed, build and serve on the embedded store in ./data
	@scripts/run

setup: ## install what building, running and testing need
	@scripts/setup

test: ## install what is needed, build and run all tests; T=name runs those that match
	@PRESET=$(PRESET) scripts/test $(T)

unit: build ## unit, contract and fault tests only
	@ctest --test-dir build/$(PRESET) --output-on-failure -L 'unit|contract|fault'

asan: ## the suite under AddressSanitizer and UBSan
	@$(MAKE) --no-print-directory test PRESET=asan

tsan: ## the suite under ThreadSanitizer
	@$(MAKE) --no-print-directory test PRESET=tsan

coverage: ## the suite instrumented; report in build/coverage/report
	@mkdir -p build/coverage/report && find build/coverage -name '*.gcda' -delete
	@$(MAKE) --no-print-directory test PRESET=coverage
	@gcovr -r . --object-directory build/coverage -j $(JOBS) -f src -f gateway -e build/ \
	    --txt build/coverage/report/files.txt --html-details build/coverage/report/index.html --print-summary

lint: ## formatting, clang-tidy, cppcheck, buf, stale generated code
	@scripts/lint

format: ## format C in place
	@git ls-files '*.c' '*.h' | grep -v '^generated/' | xargs clang-format-14 -i

generate: ## regenerate generated/ from proto/
	@scripts/generate

bench: build ## benchmarks with their yardsticks, one run
	@scripts/bench

soak: build ## the full figures behind docs/guarantees.md
	@scripts/soak

sim: build ## the power-loss simulation; SEED=n replays one
	@STRATA_SEED=$(SEED) build/$(PRESET)/tests/fault/test_embedded_power_loss

clean: ## remove build folders
	@rm -rf build compile_commands.json

help: ## this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /|/' | awk -F'|' '{printf "  make %-10s %s\n", $$1, $$2}'
