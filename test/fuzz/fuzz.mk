# Fuzzing of what peers send; wants clang. Not part of make check.
#
#	make check-fuzz			each target FUZZ_SECONDS (60) from its corpus on
#	make fuzz-coverage		how much of the decoder the committed corpus
#						reaches; fails below 95 %
#	make fuzz-corpus		writes the corpus anew, after a change of format:
#						seeds, what FUZZ_SECONDS find from them, and of
#						that what reaches something new
#
# frame_fuzz is about form: bytes whose header is put right go through the
# decoders. content_fuzz is about content: the input says which well-formed
# frames are written, and they go to causal.c, merge.c and the chain.
#
# Inputs found are kept in build/fuzz/found, so that each run goes on from the
# one before. An input that breaks something is left in build/fuzz and told.

FUZZ_CC ?= $(firstword $(shell command -v clang-14 clang) clang)
FUZZ_SECONDS ?= 60
FUZZ_FLAGS = -std=c11 -Wall -Wextra -Werror -g -O1 \
	-fno-sanitize-recover=all -fno-omit-frame-pointer -Ireplicator -Itest/unit
FUZZ_REPLICATOR_C = $(addprefix replicator/,bytes.c change.c stamp.c vector.c wire.c)
FUZZ_frame_C = test/fuzz/frame_fuzz.c test/unit/walk.c $(FUZZ_REPLICATOR_C)
FUZZ_content_C = test/fuzz/content_fuzz.c \
	$(FUZZ_REPLICATOR_C) replicator/causal.c replicator/merge.c
FUZZ_DEPENDS = $(wildcard replicator/*.h test/unit/*.h) test/fuzz/fuzz.mk
FUZZ_RUN = -artifact_prefix=build/fuzz/ -print_final_stats=1 -verbosity=0
FUZZ_TARGETS = frame content

.PHONY: check-fuzz fuzz-coverage fuzz-corpus

check-fuzz: $(FUZZ_TARGETS:%=build/fuzz/%_fuzz)
	@mkdir -p $(FUZZ_TARGETS:%=build/fuzz/found/%)
	build/fuzz/frame_fuzz $(FUZZ_RUN) -max_total_time=$(FUZZ_SECONDS) \
		-max_len=2000 build/fuzz/found/frame test/fuzz/corpus
	build/fuzz/content_fuzz $(FUZZ_RUN) -max_total_time=$(FUZZ_SECONDS) \
		-max_len=600 build/fuzz/found/content test/fuzz/content

fuzz-coverage: build/fuzz/frame_coverage
	@LLVM_PROFILE_FILE=build/fuzz/frame.profraw build/fuzz/frame_coverage \
		-runs=0 -verbosity=0 test/fuzz/corpus
	@llvm-profdata-14 merge build/fuzz/frame.profraw -o build/fuzz/frame.profdata
	@llvm-cov-14 report -show-functions $< \
		-instr-profile=build/fuzz/frame.profdata $(FUZZ_REPLICATOR_C) | \
		test/fuzz/coverage

fuzz-corpus: build/fuzz/frame_seeds $(FUZZ_TARGETS:%=build/fuzz/%_fuzz)
	@rm -rf build/fuzz/new test/fuzz/corpus test/fuzz/content
	@mkdir -p build/fuzz/new/seeds build/fuzz/new/frame build/fuzz/new/content \
		test/fuzz/corpus test/fuzz/content
	build/fuzz/frame_seeds build/fuzz/new/seeds
	build/fuzz/frame_fuzz $(FUZZ_RUN) -max_total_time=$(FUZZ_SECONDS) \
		-max_len=600 build/fuzz/new/frame build/fuzz/new/seeds
	build/fuzz/content_fuzz $(FUZZ_RUN) -max_total_time=$(FUZZ_SECONDS) \
		-max_len=300 build/fuzz/new/content
	build/fuzz/frame_fuzz -merge=1 -use_counters=0 test/fuzz/corpus \
		build/fuzz/new/seeds build/fuzz/new/frame
	build/fuzz/content_fuzz -merge=1 -use_counters=0 test/fuzz/content \
		build/fuzz/new/content

build/fuzz/frame_fuzz: $(FUZZ_frame_C) $(FUZZ_DEPENDS)
build/fuzz/content_fuzz: $(FUZZ_content_C) $(FUZZ_DEPENDS)
$(FUZZ_TARGETS:%=build/fuzz/%_fuzz):
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(FUZZ_CC) $(FUZZ_FLAGS) -fsanitize=fuzzer,address,undefined \
		$(filter %.c,$^) -o $@

build/fuzz/frame_coverage: $(FUZZ_frame_C) $(FUZZ_DEPENDS)
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(FUZZ_CC) $(FUZZ_FLAGS) -fsanitize=fuzzer -fprofile-instr-generate \
		-fcoverage-mapping $(filter %.c,$^) -o $@

build/fuzz/frame_seeds: test/fuzz/frame_seeds.c test/unit/gen.c \
		test/unit/walk.c test/unit/unit.c $(FUZZ_REPLICATOR_C) $(FUZZ_DEPENDS)
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(FUZZ_CC) $(FUZZ_FLAGS) $(filter %.c,$^) -o $@
