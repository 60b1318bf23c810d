# test.mk - the engine's tests and the fuzz targets. What needs a server is run by test/run.sh.

TESTS   = $(patsubst test/engine/%.c,$(BUILD)/%,$(wildcard test/engine/*_test.c))
# What several tests share: the .c files beside them.
TEST_O  = $(patsubst %.c,$(BUILD)/%.o,$(filter-out %_test.c,$(wildcard test/engine/*.c)))
T      ?= $(patsubst $(BUILD)/%_test,%,$(TESTS))

FUZZERS = $(patsubst test/fuzz/%.c,$(BUILD)/%,$(wildcard test/fuzz/*_fuzz.c))
FUZZ_MAKE = $(MAKE) --no-print-directory BUILD=build-fuzz CC=clang SAN=1 FUZZ=1

.PHONY: test-engine tests fuzz fuzz-replay fuzzers
tests: $(TESTS) tools

$(TESTS): $(BUILD)/%: $(BUILD)/test/engine/%.o $(TEST_O) $(ARCHIVES)
	@echo "  LINK  $@"
	@$(link)

# Each test prints "ok" or "FAIL" lines; one that dies is told by its exit status.
test-engine: engine tools $(addprefix $(BUILD)/,$(addsuffix _test,$(T)))
	@failed=; for t in $(T); do echo "## $$t"; \
	  DSOCR_BUILD=$(BUILD) timeout 600 $(BUILD)/$${t}_test || { echo "FAIL $${t}_test: exit status $$?"; failed=1; }; \
	done; test -z "$$failed"

# What shares memory. Threads that still work when the server ends are no leak: their memory goes with the process.
.PHONY: tsan
tsan:
	@TSAN_OPTIONS="report_thread_leaks=0 $$TSAN_OPTIONS" $(MAKE) --no-print-directory TSAN=1 CC=clang test-engine \
	  T="serve together sandbox dsocr"

# Fuzzing: test/fuzz/NAME_fuzz.c with its corpus in test/fuzz/NAME_corpus.
$(FUZZERS): $(BUILD)/%: $(BUILD)/test/fuzz/%.o $(ARCHIVES)
	@echo "  LINK  $@"
	@$(CC) $(DS_LDFLAGS) -fsanitize=fuzzer -o $@ $< -Wl,--start-group $(ARCHIVES) -Wl,--end-group $(DS_LIBS)
fuzzers: $(FUZZERS) tools

fuzz:
	@$(FUZZ_MAKE) fuzzers
	@test/fuzz.sh $(FUZZ_SECONDS)

fuzz-replay:
	@$(FUZZ_MAKE) fuzzers
	@test/fuzz.sh 0
