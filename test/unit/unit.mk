# Unit tests: replicator/ alone, with address and undefined-behaviour checks.
#
# Each *_test.c is a program that prints TAP, linked with the other files of
# this folder that it needs and with all of replicator/. `make unit` runs them.

UNIT_CC ?= $(CC)
UNIT_FLAGS = -std=c11 -Wall -Wextra -Werror -g -O1 -MMD -MP \
	-fsanitize=address,undefined -fno-sanitize-recover=all \
	-fno-omit-frame-pointer -Ireplicator -Itest/unit
UNIT_BUILD = build/unit

UNIT_REPLICATOR_O := \
	$(patsubst replicator/%.c,build/unit/replicator/%.o,$(wildcard replicator/*.c))
UNIT_HELPER_O := $(patsubst test/unit/%.c,build/unit/%.o,\
	$(filter-out %_test.c,$(wildcard test/unit/*.c)))
UNIT_PROGRAMS := $(patsubst test/unit/%.c,build/unit/%,\
	$(wildcard test/unit/*_test.c))
CHECK_PROGRAMS += $(UNIT_PROGRAMS)

# merge.c with one deliberate mistake each, under names of their own
UNIT_MERGE_MUTANTS = arrival_order ties_by_arrival base_ignores_deltas \
	delta_twice revive_forgets survivor_misses_deletes delete_always_wins \
	forgets_earlier_deletes strong_overwritten
UNIT_MERGE_MUTANT_O := $(UNIT_MERGE_MUTANTS:%=build/unit/mutant/merge_%.o)
unit_upper = $(shell echo $(1) | tr a-z A-Z)

$(UNIT_BUILD)/merge_proof_test: $(UNIT_MERGE_MUTANT_O)

$(UNIT_MERGE_MUTANT_O): $(UNIT_BUILD)/mutant/merge_%.o: replicator/merge.c
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(UNIT_CC) $(UNIT_FLAGS) -DREP_BUG_$(call unit_upper,$*) \
		-Drep_merge=rep_merge_$* -Drep_op_writes=rep_op_writes_$* \
		-Drep_op_has_seen=rep_op_has_seen_$* -c $< -o $@

$(UNIT_BUILD)/replicator/%.o: replicator/%.c
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(UNIT_CC) $(UNIT_FLAGS) -c $< -o $@

$(UNIT_BUILD)/%.o: test/unit/%.c
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(UNIT_CC) $(UNIT_FLAGS) -c $< -o $@

$(UNIT_PROGRAMS): %: %.o $(UNIT_HELPER_O) $(UNIT_REPLICATOR_O)
	$(call say,LD,$@)
	$(Q)$(UNIT_CC) $(UNIT_FLAGS) $(filter %.o,$^) -o $@

.SECONDARY: $(UNIT_PROGRAMS:%=%.o)

-include $(wildcard build/unit/*.d build/unit/*/*.d)
