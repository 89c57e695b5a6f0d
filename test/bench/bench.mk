# What only make bench needs: packages to compare with, and its own client.

.PHONY: bench
bench: all testing build/bench-lag
	@test/bench/set-up
	@PG_CONFIG='$(PG_CONFIG)' test/setup/temp-install
	@test/bench/run

build/bench-lag: test/bench/lag.c
	@mkdir -p build
	$(call say,CC,$@)
	$(Q)$(CC) -std=c11 -D_GNU_SOURCE -O2 -g $(WARNINGS) \
		-isystem $(shell $(PG_CONFIG) --includedir) $< -o $@ \
		-L$(shell $(PG_CONFIG) --libdir) -lpq -lpthread
