# Fuzzing of the decoders; wants clang. Not part of make check.
#
#	make check-fuzz			FUZZ_SECONDS (60) from the corpus on
#	make fuzz-coverage		what the corpus and all inputs found so far reach
#	make fuzz-corpus		writes the corpus anew, after a change of format
#
# Inputs found are kept in build/fuzz/found, so that each run goes on from the
# one before. An input that breaks something is left in build/fuzz and told.

FUZZ_CC ?= $(firstword $(shell command -v clang-14 clang) clang)
FUZZ_SECONDS ?= 60
FUZZ_FLAGS = -std=c11 -Wall -Wextra -Werror -g -O1 \
	-fno-sanitize-recover=all -fno-omit-frame-pointer -Ireplicator -Itest/unit
FUZZ_REPLICATOR_C = $(addprefix replicator/,bytes.c change.c stamp.c vector.c wire.c)
FUZZ_C = test/fuzz/frame_fuzz.c test/unit/walk.c $(FUZZ_REPLICATOR_C)
FUZZ_DEPENDS = $(wildcard replicator/*.h test/unit/*.h) test/fuzz/fuzz.mk

.PHONY: check-fuzz fuzz-coverage fuzz-corpus

check-fuzz: build/fuzz/frame_fuzz
	@mkdir -p build/fuzz/found
	build/fuzz/frame_fuzz -max_total_time=$(FUZZ_SECONDS) -max_len=2000 \
		-artifact_prefix=build/fuzz/ -print_final_stats=1 -verbosity=0 \
		build/fuzz/found test/fuzz/corpus

fuzz-coverage: build/fuzz/frame_coverage
	@mkdir -p build/fuzz/found
	@LLVM_PROFILE_FILE=build/fuzz/frame.profraw build/fuzz/frame_coverage \
		-runs=0 -verbosity=0 test/fuzz/corpus build/fuzz/found
	@llvm-profdata-14 merge build/fuzz/frame.profraw -o build/fuzz/frame.profdata
	@llvm-cov-14 report $< -instr-profile=build/fuzz/frame.profdata \
		$(FUZZ_REPLICATOR_C)

fuzz-corpus: build/fuzz/frame_seeds
	@mkdir -p test/fuzz/corpus
	build/fuzz/frame_seeds test/fuzz/corpus

build/fuzz/frame_fuzz: $(FUZZ_C) $(FUZZ_DEPENDS)
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(FUZZ_CC) $(FUZZ_FLAGS) -fsanitize=fuzzer,address,undefined \
		$(FUZZ_C) -o $@

build/fuzz/frame_coverage: $(FUZZ_C) $(FUZZ_DEPENDS)
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(FUZZ_CC) $(FUZZ_FLAGS) -fsanitize=fuzzer -fprofile-instr-generate \
		-fcoverage-mapping $(FUZZ_C) -o $@

build/fuzz/frame_seeds: test/fuzz/frame_seeds.c test/unit/gen.c \
		test/unit/walk.c test/unit/unit.c $(FUZZ_REPLICATOR_C) $(FUZZ_DEPENDS)
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(FUZZ_CC) $(FUZZ_FLAGS) $(filter %.c,$^) -o $@
