# Random types, tables and statements on three nodes at once.
#
#	make check-types			200 seeds; make check runs ten of them
#	make check-types SEEDS=17	one again (a list: 17,20-30)
#
# A cluster serves 25 seeds, so that none is blamed for what many left.

SEEDS ?= 1-25 26-50 51-75 76-100 101-125 126-150 151-175 176-200

.PHONY: check-types
check-types: temp-install check-programs
	@status=0; for seeds in $(SEEDS); do \
		CAUSALDB_TYPES_SEEDS=$$seeds test/run test/t/080_types.pl || status=1; \
	done; exit $$status
