# The strong engine under simulation: replicator/ alone, no PostgreSQL.
#
#	make check-sim-short	a fixed seed, some mutants: what make check runs too
#	make check-sim			a new seed, longer, all mutants, sanitizers
#
# build/sim/sim is the simulator, build/sim/mutant_n the same with mistake n
# in the engine (test/sim/mutants.h), build/sim/scripts plays the golden
# scripts (after a change: scripts --bless, then read the difference) and
# build/sim/raft_units tries the parts. All print TAP.

SIM_FLAGS = -std=c11 -O2 -g -Wall -Wextra -Werror -MMD -MP \
	-Ireplicator -Itest/sim
SIM_SANITIZE = -O1 -fsanitize=address,undefined -fno-sanitize-recover=all \
	-fno-omit-frame-pointer
SIM_ENGINE_C := $(wildcard replicator/raft*.c) \
	$(addprefix replicator/,arena.c bytes.c certify.c prng.c stamp.c vector.c)
SIM_C := $(wildcard test/sim/sim_*.c test/sim/check_*.c)
SIM_O := $(patsubst %.c,build/sim/%.o,$(SIM_ENGINE_C) $(SIM_C))
SIM_SANITIZED_O := $(SIM_O:build/sim/%=build/sim/sanitized/%)
SIM_SANITIZED_ENGINE_O := $(SIM_ENGINE_C:%.c=build/sim/sanitized/%.o)
SIM_SCRIPTS := $(sort $(wildcard test/sim/scripts/*.script))
SIM_PROGRAMS = build/sim/raft_units build/sim/scripts build/sim/sim \
	build/sim/sim_sanitized

SIM_ALL_MUTANTS = 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24
SIM_SHORT_MUTANTS = 1 4 7 12

sim_ARGS = --seed 1 --seconds 16
sim_sanitized_ARGS = --seed 1 --steps 150000
scripts_ARGS = $(SIM_SCRIPTS)
CHECK_PROGRAMS += $(SIM_PROGRAMS) $(SIM_SHORT_MUTANTS:%=build/sim/mutant_%)
$(foreach n,$(SIM_ALL_MUTANTS),$(eval mutant_$(n)_ARGS = --seed 1 --seconds 60))

.PHONY: check-sim check-sim-short
check-sim-short: $(SIM_PROGRAMS) $(SIM_SHORT_MUTANTS:%=build/sim/mutant_%)
	@test/sim/run short $(SIM_SHORT_MUTANTS)
check-sim: $(SIM_PROGRAMS) $(SIM_ALL_MUTANTS:%=build/sim/mutant_%)
	@test/sim/run full $(SIM_ALL_MUTANTS)

build/sim/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(CC) $(SIM_FLAGS) -c $< -o $@

build/sim/sanitized/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(CC) $(SIM_FLAGS) $(SIM_SANITIZE) -c $< -o $@

build/sim/sim: $(SIM_O)
	$(call say,LD,$@)
	$(Q)$(CC) $^ -o $@

build/sim/sim_sanitized: $(SIM_SANITIZED_O)
	$(call say,LD,$@)
	$(Q)$(CC) $(SIM_SANITIZE) $^ -o $@

build/sim/scripts: build/sim/sanitized/test/sim/script_main.o \
		build/sim/sanitized/test/sim/script_node.o $(SIM_SANITIZED_ENGINE_O)
	$(call say,LD,$@)
	$(Q)$(CC) $(SIM_SANITIZE) $^ -o $@

build/sim/raft_units: build/sim/sanitized/test/sim/unit_main.o \
		$(SIM_SANITIZED_ENGINE_O)
	$(call say,LD,$@)
	$(Q)$(CC) $(SIM_SANITIZE) $^ -o $@

# Only the files that can make the mistake are compiled again.
build/sim/mutant_%: $(SIM_O) $(SIM_ENGINE_C) test/sim/mutants.h
	$(call say,MUTANT,$@)
	$(Q)mkdir -p $@.o && rm -f $@.o/*.o; \
	objects='$(SIM_O)'; \
	for c in test/sim/sim_main.c $$(grep -lF 'REP_BUG($*)' $(SIM_ENGINE_C)); do \
		$(CC) $(SIM_FLAGS) -DREP_RAFT_BUG=$* -c $$c \
			-o $@.o/$$(basename $$c .c).o || exit 1; \
		objects=$$(echo " $$objects " | sed "s| build/sim/$${c%.c}.o | |"); \
	done; \
	$(CC) $$objects $@.o/*.o -o $@

-include $(wildcard $(foreach d,build/sim build/sim/sanitized,\
	$(d)/replicator/*.d $(d)/test/sim/*.d))
