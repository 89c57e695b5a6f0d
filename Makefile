# causaldb: build, install and test.
#
#	make, make install, make installcheck	as for any PGXS extension
#	make check				every test, in throw-away servers
#	make demo, make demo-stop		three nodes that tell the story
#	make temp-install			build/pg, a prefix of our own
#	make unit, tidy, indent, bench		see doc/hacking.md
#
# Objects go to build/release and build/testing; the latter has
# -DCAUSALDB_TESTING (debug points and deliberate mistakes) and assertions.
# Nothing below may fail at parse time where PostgreSQL is not installed yet:
# check and demo install it.

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs 2>/dev/null)
HAVE_PGXS := $(wildcard $(PGXS))

EXTENSION = causaldb
DATA := $(wildcard extension/causaldb--*.sql)
MODULES = build/release/causaldb
REGRESS := $(sort $(patsubst sql/%.sql,%,$(wildcard sql/*.sql)))
EXTRA_CLEAN = build
# Plain C objects only: a server with JIT does not need our bitcode.
override with_llvm = no

.DEFAULT_GOAL = all
.PHONY: all check demo demo-stop setup testing temp-install
.PHONY: tidy indent unit check-programs clean-work uninstall-module

# These find their tools themselves, so that they work on a bare machine; they
# come back here once PostgreSQL is there. Apart from the rest because PGXS has
# a check of its own, which only refuses.
PARALLEL = $(if $(filter -j%,$(MAKEFLAGS)),,-j$(shell nproc))
STANDALONE = check demo demo-stop setup
ifneq ($(filter $(STANDALONE),$(MAKECMDGOALS)),)

check: setup
	@$(MAKE) --no-print-directory $(PARALLEL) temp-install check-programs
	@test/run
demo: setup
	@$(MAKE) --no-print-directory $(PARALLEL) temp-install build/linkproxy
	@test/demo/demo start
demo-stop:
	@test/demo/demo stop
setup:
	@PG_CONFIG='$(PG_CONFIG)' test/setup/install-packages
$(filter-out $(STANDALONE),$(MAKECMDGOALS)):
	@$(MAKE) --no-print-directory $@

else ifeq ($(HAVE_PGXS),)

$(or $(MAKECMDGOALS),all):
	@echo "causaldb: $(PG_CONFIG) --pgxs names no build files of PostgreSQL." >&2
	@echo "Install postgresql-server-dev-15 (make setup does), or say" >&2
	@echo "make PG_CONFIG=/path/to/pg_config." >&2
	@exit 1

else

include $(PGXS)

# make V=1 shows whole commands
Q = $(if $(V),,@)
say = $(if $(V),,@echo "  $(1)	$(2)")

WARNINGS = -Wall -Wextra -Werror
PG_INCLUDES = -isystem $(shell $(PG_CONFIG) --includedir-server) \
	-isystem $(shell $(PG_CONFIG) --includedir)
EXTENSION_FLAGS = $(CFLAGS) $(WARNINGS) -MMD -MP \
	-D_GNU_SOURCE -Iextension -Ireplicator $(PG_INCLUDES)
# The replicator sees the C library's headers and its own, nothing else.
REPLICATOR_FLAGS = -std=c11 -O2 -g -fPIC -fno-omit-frame-pointer \
	$(WARNINGS) -Wpedantic -Wmissing-prototypes -Wstrict-prototypes \
	-MMD -MP -Ireplicator
release_FLAGS = -DNDEBUG
testing_FLAGS = -DCAUSALDB_TESTING -DUSE_ASSERT_CHECKING

EXTENSION_C := $(wildcard extension/*.c)
REPLICATOR_C := $(wildcard replicator/*.c)

# $(call build,release|testing)
define build
build/$(1)/extension/%.o: extension/%.c Makefile
	@mkdir -p $$(@D)
	$$(call say,CC,$$@)
	$$(Q)$$(CC) $$(EXTENSION_FLAGS) $$($(1)_FLAGS) -c $$< -o $$@

build/$(1)/replicator/%.o: replicator/%.c Makefile
	@mkdir -p $$(@D)
	$$(call say,CC,$$@)
	$$(Q)$$(CC) $$(REPLICATOR_FLAGS) $$($(1)_FLAGS) -c $$< -o $$@

$(1)_REPLICATOR_O := $$(REPLICATOR_C:%.c=build/$(1)/%.o)
$(1)_O := $$(EXTENSION_C:%.c=build/$(1)/%.o) $$($(1)_REPLICATOR_O)

build/$(1)/causaldb.so: $$($(1)_O) extension/causaldb.map
	$$(call say,LD,$$@)
	$$(Q)$$(CC) $$(CFLAGS) -shared -o $$@.new $$($(1)_O) \
		-Wl,--version-script=extension/causaldb.map $$(LDFLAGS) $$(LDFLAGS_SL) \
		-L$$(shell $$(PG_CONFIG) --libdir) -lpq
	$$(Q)mv $$@.new $$@

-include $$($(1)_O:.o=.d)
endef
$(eval $(call build,release))
$(eval $(call build,testing))

testing: build/testing/causaldb.so

# build/pg: the server's programs with our files beside them. A private copy,
# so that a checkout never disturbs the installed server or another checkout.
temp-install: all testing
	@PG_CONFIG='$(PG_CONFIG)' test/setup/temp-install

tidy: all testing
	@test/tidy/tidy
indent:
	clang-format -i $(wildcard extension/*.[ch] replicator/*.[ch] test/*/*.[ch])

# PGXS removes modules by their path in here
uninstall: uninstall-module
uninstall-module:
	rm -f '$(DESTDIR)$(pkglibdir)/causaldb.so'

# what lies outside of the checkout goes too
clean: clean-work
clean-work:
	@test/demo/demo stop >/dev/null
	rm -rf "$$(test/setup/work-folder)"

# Other suites bring their own rules. Programs that print TAP and belong to
# make check are appended to CHECK_PROGRAMS; arguments of build/x/name, if it
# wants some, are in name_ARGS.
-include $(wildcard test/*/*.mk)

check-programs: $(CHECK_PROGRAMS) build/linkproxy build/linear
	@: > build/check-programs
	@$(foreach p,$(CHECK_PROGRAMS),\
		echo '$(p) $($(notdir $(p))_ARGS)' >> build/check-programs;)
# five minutes of faults on the strong path; make check has some seconds of it
check-chaos: temp-install check-programs
	@CAUSALDB_CHAOS_SECONDS=300 CAUSALDB_FILE_LIMIT=900 test/run -j 1 -v test/t/110_strong_chaos.pl
unit: temp-install check-programs
	@test/run --only programs

build/linkproxy: test/proxy/linkproxy.c
	@mkdir -p build
	$(call say,CC,$@)
	$(Q)$(CC) -std=c11 -O2 -g $(WARNINGS) $< -o $@

endif
