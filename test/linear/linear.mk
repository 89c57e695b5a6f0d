# The checker of recorded histories: build/linear for tests with servers, and
# the proof that it can say no.

LINEAR_FLAGS = -std=c11 $(WARNINGS) -g -O2 -Itest/linear

CHECK_PROGRAMS += build/linear_test

build/linear: test/linear/linear_main.c test/linear/linear.c test/linear/linear.h
	@mkdir -p build
	$(call say,LD,$@)
	$(Q)$(CC) $(LINEAR_FLAGS) $(filter %.c,$^) -o $@

build/linear_test: test/linear/linear_test.c test/linear/linear.c test/linear/linear.h
	@mkdir -p build
	$(call say,LD,$@)
	$(Q)$(CC) $(LINEAR_FLAGS) $(filter %.c,$^) -o $@
