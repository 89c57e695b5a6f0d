# The driver of test/t/02*_order.pl.

check-programs: build/commit_order

build/commit_order: test/order/commit_order.c
	@mkdir -p build
	$(call say,CC,$@)
	$(Q)$(CC) -std=c11 -O2 -g $(WARNINGS) -D_GNU_SOURCE \
		-isystem $(shell $(PG_CONFIG) --includedir) $< -o $@ \
		-L$(shell $(PG_CONFIG) --libdir) -lpq
