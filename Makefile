# Drawbridge. One file, no recursion into folders: wildcards find the sources, so a new file needs
# no edit. Variants live in build directories of their own:
#   build                  release, hardened               (make all)
#   build/testable         + test clock and failpoints     (TESTABLE=1; what tests link with)
#   build/san-…            sanitizers, testable            (SAN=address,undefined or SAN=thread)
#   build/clang            the other compiler              (CC=clang)
#   build/coverage         counts which lines run          (COVERAGE=1; make coverage)
# V=1 shows the commands.
VERSION := 0.1.0
ifeq ($(origin CC),default)
CC := gcc
endif
comma := ,
IS_CLANG := $(findstring clang,$(notdir $(firstword $(CC))))
IS_X86 := $(filter x86_64 i%86,$(shell uname -m))
TESTABLE := $(if $(SAN),1,$(TESTABLE))
BUILD := build$(if $(IS_CLANG)$(TESTABLE)$(SAN),/)$(if $(IS_CLANG),clang$(if $(TESTABLE),-))$(if \
  $(SAN),san-$(subst $(comma),-,$(SAN)),$(if $(TESTABLE),testable))
# One name per build directory: an absolute one would make dependency files that a relative one
# does not read.
override BUILD := $(patsubst $(CURDIR)/%,%,$(BUILD))
PREFIX ?= /usr/local
SECONDS ?= 20
Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-6s %s\n' '$(1)' '$(2)')
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SECONDARY:
.SECONDEXPANSION:
.SUFFIXES:

# What a goal needs is installed before anything else happens, because pkg-config is asked below.
# The check costs less than 0.1 s; a sub-make trusts its parent.
goals = $(filter $(1),$(MAKECMDGOALS))
NEEDS := $(if $(filter-out help clean down logs hooks test-bare layering,$(MAKECMDGOALS)),build \
  $(if $(call goals,up demo test flow scenarios chaos chaos-% sweep-short bench bench-check coverage),run) \
  $(if $(call goals,test unit prop flow scenarios fuzz% san-unit chaos chaos-% sweep-short build-% hardening generators requirements coverage),test) \
  $(if $(call goals,tidy format),lint))
ifneq ($(NEEDS),)
ifeq ($(DRAWBRIDGE_BOOTSTRAPPED),)
$(shell ops/bootstrap $(NEEDS) >&2)
ifneq ($(.SHELLSTATUS),0)
$(error ops/bootstrap $(NEEDS) failed; its last lines are above)
endif
export DRAWBRIDGE_BOOTSTRAPPED := 1
endif
PKGS := rdkafka libpq libcurl jansson libuv libsodium libqrencode libpng libcrypto inih libpcre2-8
PKG_CFLAGS := $(shell pkg-config --cflags $(PKGS))
PKG_LIBS := $(shell pkg-config --libs $(PKGS)) -lm
GATEWAY_LIBS := $(shell pkg-config --libs libmicrohttpd gnutls)
TEST_LIBS := $(shell pkg-config --libs cmocka libssl 2>/dev/null)
endif

CFLAGS ?= $(if $(COVERAGE),-O0 -g --coverage -fprofile-update=atomic,-O2 -g)
# Hardening: HAZARDS S19. clang 14 knows neither of the two zero-initialisers.
WARN := -Wall -Wextra -Wshadow -Wswitch-enum -Wstrict-prototypes -Wmissing-prototypes -Wvla -Werror
HARDEN := $(if $(SAN)$(findstring -O0,$(CFLAGS)),,-D_FORTIFY_SOURCE=3 -fstack-clash-protection) -fstack-protector-strong \
  -fno-delete-null-pointer-checks -fno-strict-overflow $(if $(IS_X86),-fcf-protection=full) \
  $(if $(IS_CLANG),,-ftrivial-auto-var-init=zero -fzero-call-used-regs=used-gpr)
SANFLAGS := $(if $(SAN),-fsanitize=$(SAN) -fno-omit-frame-pointer -fno-sanitize-recover=all) \
  $(if $(FUZZ),-fsanitize=fuzzer-no-link)
CPPFLAGS += -D_GNU_SOURCE $(if $(TESTABLE),-DDRAWBRIDGE_TESTABLE -DDRAWBRIDGE_FAILPOINTS) -I workers -I $(BUILD)/gen $(PKG_CFLAGS)
C_FLAGS := -std=gnu17 $(CFLAGS) $(WARN) $(HARDEN) $(SANFLAGS) -fPIE -ffile-prefix-map=$(CURDIR)=.
LD_FLAGS := $(LDFLAGS) $(SANFLAGS) -pie -Wl,-z,relro,-z,now,-z,noexecstack,--as-needed \
  $(if $(COVERAGE),-Wl$(comma)--wrap=_exit$(comma)--wrap=raise)

# Rooms -> archives, programs, tests.
LIBROOMS := core domain drivers store
WORKERS := $(patsubst workers/%/main.c,%,$(wildcard workers/*/main.c))
GEN := $(addprefix $(BUILD)/gen/,sql.h schemas.h page_files.h version.h)
GEN_OBJS := $(BUILD)/gen/sql.o $(BUILD)/gen/schemas.o
SQL_QUERIES := $(sort $(wildcard sql/queries/*.sql))
SQL_MIGRATIONS := $(sort $(wildcard sql/migrations/*.sql))
SCHEMAS := $(sort $(shell find schemas -name '*.json' 2>/dev/null))
PAGE_FILES := $(sort $(wildcard workers/gateway/page/*))
SOURCES := $(sort $(wildcard workers/*/*.c producer-cli/*.c credentials/*.c))
TEST_SOURCES := $(sort $(wildcard tests/unit/*_test.c tests/prop/*_test.c))
SUPPORT := $(sort $(wildcard tests/support/*.c))
objs = $(patsubst %.c,$(BUILD)/%.o,$(sort $(wildcard $(1))))
lib = $(if $(wildcard $(2)),$(BUILD)/lib/lib$(1).a)
# In link order: who needs comes before who is needed.
LIBS := $(foreach r,store drivers domain,$(call lib,$(r),workers/$(r)/*.c)) $(BUILD)/lib/libcore.a \
  $(if $(COVERAGE),$(BUILD)/lib/libcoverage.a)
CLI_LIB := $(call lib,cli,$(filter-out producer-cli/main.c,$(wildcard producer-cli/*.c)))
# For programs of others (O-14): stands on libcurl alone.
CREDENTIALS_LIB := $(BUILD)/lib/libdrawbridge-credentials.a
GATEWAY_LIB := $(call lib,gateway,$(filter-out workers/gateway/main.c,$(wildcard workers/gateway/*.c)))
BINS := $(addprefix $(BUILD)/bin/drawbridge-,$(WORKERS)) \
  $(if $(wildcard producer-cli/main.c),$(BUILD)/bin/drawbridge)
tests_of = $(patsubst tests/$(1)/%.c,$(BUILD)/tests/%,$(sort $(wildcard tests/$(1)/*_test.c)))
FUZZERS := $(patsubst tests/fuzz/%.c,$(BUILD)/fuzz/%,$(sort $(wildcard tests/fuzz/*_fuzz.c)))
TOOLS := $(patsubst tests/tools/%.c,$(BUILD)/tools/%,$(sort $(wildcard tests/tools/*.c)))
BENCHES := $(patsubst tests/bench/%.c,$(BUILD)/bench/%,$(sort $(wildcard tests/bench/*.c)))

help: ## this list
	@awk -F':.*## ' '/^[a-z_.-]+:.*## /{printf "  %-22s %s\n",$$1,$$2}' Makefile

all: $(BINS) $(LIBS) $(CLI_LIB) $(CREDENTIALS_LIB) $(GEN) ## everything that is installed, in build/

demo: all ## a session from request to audit trail, on a stack of its own
	@ops/demo

up: all ## Kafka, PostgreSQL and the workers under .run/; starts what is missing
	@ops/stack up --build $(BUILD)
down: ## stops all of it
	@ops/stack down
logs: ## follows the logs of the stack
	@ops/stack logs

drill: ## a bad night to practise on, on the stack of make up (ARGS=--morning ends it)
	@ops/drill $(ARGS)

# ---- tests. Each step is a target; `make test` runs them in order and adds them up. Tests link
# with the testable build, so a step started in the release build hands over to it.
TEST_STEPS := build-release build-testable build-clang hardening generators layering unit prop mutants flow scenarios \
  san-unit san-scenarios fuzz-short $(if $(wildcard tests/chaos/run),chaos-short) sweep-short chaos-mutants-sample requirements
test: ## everything: both compilers, layering, unit, prop, flow, scenarios, sanitizers, fuzz
	@MAKE='$(MAKE)' BUILD=$(BUILD) tests/run $(TEST_STEPS)
build-release: all bench-programs
build-testable:
	$(Q)$(MAKE) TESTABLE=1 BUILD=$(BUILD)/testable all test-programs
build-clang:
	$(Q)$(MAKE) CC=clang BUILD=$(BUILD)/clang all bench-programs test-programs
generators:
	@CC="$(CC)" tests/generators
hardening: $(BINS)
	@tests/hardening $(BINS)
layering: ## no include against the arrows of the design
	@tests/layering
ifdef TESTABLE
unit: $(call tests_of,unit) ## unit tests (all, or NAME=buf_test)
	@tests/run-cmocka $(if $(NAME),$(filter %/$(NAME),$^),$^)
prop: $(call tests_of,prop) ## property tests
	@tests/run-cmocka $(if $(NAME),$(filter %/$(NAME),$^),$^)
flow: $(call tests_of,flow) $(TOOLS)
flow scenarios: all
	@BUILD=$(BUILD) tests/run-pytest tests/$@ $(ARGS)
MUTANT = BUILD=$(BUILD) MUTANT_CC='$(CC) $(CPPFLAGS) $(C_FLAGS)' MUTANT_LD='$(CC) $(C_FLAGS) $(LD_FLAGS)' \
  MUTANT_LIBS='$(LIBS) $(PKG_LIBS)'
chaos-connections: all
	@$(MUTANT) tests/chaos/refresh-storm $(ARGS)
chaos-mutants chaos-mutants-sample: all
	@$(MUTANT) tests/chaos/mutants/run $(if $(findstring sample,$@),--sample 3) $(ARGS)
else
unit prop flow scenarios chaos-mutants chaos-mutants-sample chaos-connections:
	$(Q)$(MAKE) TESTABLE=1 BUILD=$(BUILD)/testable $@
endif
sweep-short chaos-sweep: all
	@BUILD=$(BUILD) tests/chaos/sweep $(if $(findstring short,$@),--short) $(ARGS)
chaos-sweep: ## release workers killed at every (command, system call, N); ARGS=--only=user.put
chaos-connections: ## connections at a strict provider, workers killed for five minutes; ARGS=--naive loses families
chaos-mutants: ## broken builds of the engine, each of which the fault script must give away
mutants: ## broken copies of the domain and of the retry machinery, each of which the histories must notice
	@tests/prop/mutants
flow: ## real Kafka and PostgreSQL, one story per file (ARGS for pytest)
scenarios: ## the acceptance scenarios, driven from outside
san-unit:
	$(Q)$(MAKE) SAN=address,undefined BUILD=$(BUILD)/san-address-undefined unit prop
san-scenarios: ## broken input and retries against sanitized workers
	$(Q)$(MAKE) SAN=address,undefined BUILD=$(BUILD)/san-address-undefined all
	@BUILD=$(BUILD)/san-address-undefined tests/run-pytest tests/scenarios -k "test_garbage or test_order" $(ARGS)
fuzz: ## every fuzz target for SECONDS (20) each
	$(Q)$(MAKE) CC=clang SAN=address,undefined FUZZ=1 BUILD=$(BUILD)/fuzzing fuzz-run
fuzz-short:
	$(Q)$(MAKE) SECONDS=5 fuzz
fuzz-run: $(FUZZERS)
	@tests/run-fuzz $(SECONDS) $(FUZZERS)
chaos: ## the storm, MINUTES (30) long, choices of SEED; ARGS for tests/chaos/run
	$(Q)$(MAKE) TESTABLE=1 BUILD=$(BUILD)/testable all
	@BUILD=$(BUILD)/testable tests/chaos/run --minutes $(or $(MINUTES),30) $(if $(SEED),--seed $(SEED)) $(ARGS)
chaos-short:
	$(Q)$(MAKE) TESTABLE=1 BUILD=$(BUILD)/testable all
	@tests/run-pytest tests/chaos -q
	@BUILD=$(BUILD)/testable tests/chaos/run --short
# A quarter of an hour, so no part of `make test`.
COVERED = test_commands or test_sessions or test_lanes or test_dlq or test_replay or test_breakers or test_verify \
  or test_outages or test_garbage or test_audit or test_tickets
coverage: ## which lines the tests run, by room; fails below 90 %
	$(Q)$(MAKE) TESTABLE=1 COVERAGE=1 BUILD=$(BUILD)/coverage all test-programs
	$(Q)find $(BUILD)/coverage -name '*.gcda' -delete
	$(Q)$(MAKE) TESTABLE=1 COVERAGE=1 BUILD=$(BUILD)/coverage unit prop
	$(Q)DRAWBRIDGE_END_GENTLY=1 $(MAKE) TESTABLE=1 COVERAGE=1 BUILD=$(BUILD)/coverage flow
	$(Q)DRAWBRIDGE_END_GENTLY=1 $(MAKE) TESTABLE=1 COVERAGE=1 BUILD=$(BUILD)/coverage scenarios ARGS="-k '$(COVERED)'"
	@tests/coverage/table $(BUILD)/coverage
requirements: ## which test shows which requirement
	@tests/requirements tests/required-ids
bench: all bench-programs ## the table of speed, size and latency
	@BUILD=$(BUILD) tests/bench/run $(ARGS)
bench-check: bench ## the same, against the stored ratios: a drop of more than a fifth fails
	@BUILD=$(BUILD) tests/bench/check
test-bare: ## make demo in a debootstrap root that has nothing but make (root only)
	@ops/test-bare $(ARGS)

tidy: $(GEN) ## clang-tidy over all sources, one by one (14 mixes up several)
	$(Q)printf '%s\n' $(SOURCES) | xargs -P $(shell nproc) -I{} clang-tidy --quiet {} -- -std=gnu17 $(CPPFLAGS)
format: ## clang-format in place
	$(Q)clang-format -i $(shell find workers producer-cli credentials tests -name '*.[ch]' 2>/dev/null)
hooks: ## points git at ops/hooks
	git config core.hooksPath ops/hooks
compile_commands.json: Makefile $(BUILD)/gen/inputs ## for editors and linters
	@{ echo '['; sep=; for f in $(SOURCES) $(TEST_SOURCES); do \
	  printf '%s{"directory":"%s","file":"%s","command":"%s"}\n' "$$sep" '$(CURDIR)' "$$f" \
	    '$(CC) $(CPPFLAGS) -I tests $(C_FLAGS) -c '"$$f"; sep=,; done; echo ']'; } > $@
install: all ## binaries, schemas, units and the library for workflows into DESTDIR/PREFIX
	install -d $(DESTDIR)$(PREFIX)/bin
	install -m 755 $(BINS) $(DESTDIR)$(PREFIX)/bin
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/include credentials/drawbridge_credentials.h
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/lib $(CREDENTIALS_LIB)
	install -d $(DESTDIR)$(PREFIX)/lib/pkgconfig
	sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@VERSION@|$(VERSION)|' credentials/drawbridge-credentials.pc.in > \
	  $(DESTDIR)$(PREFIX)/lib/pkgconfig/drawbridge-credentials.pc
	$(foreach f,$(SCHEMAS),install -D -m 644 $(f) $(DESTDIR)$(PREFIX)/share/drawbridge/$(f) &&) true
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/lib/systemd/system ops/systemd/*.service
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/lib/systemd/system/drawbridge-.service.d ops/systemd/drawbridge-.service.d/*
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/lib/sysusers.d ops/systemd/sysusers/*
	sed -i 's|/usr/local/bin/|$(PREFIX)/bin/|' $(DESTDIR)$(PREFIX)/lib/systemd/system/drawbridge-*.service
clean: ## removes build/
	rm -rf build $(if $(filter-out build,$(BUILD)),$(BUILD)) compile_commands.json

# ---- generated: SQL and schemas become constants; gen/inputs changes when a file comes or goes.
$(BUILD)/gen/inputs: FORCE
	@mkdir -p $(@D); printf '%s\n' $(SOURCES) $(TEST_SOURCES) $(SUPPORT) $(SQL_QUERIES) \
	  $(SQL_MIGRATIONS) $(SCHEMAS) $(PAGE_FILES) > $@.new; cmp -s $@.new $@ && rm $@.new || mv $@.new $@
$(BUILD)/gen/sql.h: ops/gen/sql.awk $(SQL_QUERIES) $(SQL_MIGRATIONS) $(BUILD)/gen/inputs
	$(call say,GEN,$@)
	$(Q)LC_ALL=C awk -v out=$(@D)/sql -f $< $(SQL_MIGRATIONS) $(SQL_QUERIES) /dev/null
$(BUILD)/gen/schemas.h: ops/gen/files.awk $(SCHEMAS) $(BUILD)/gen/inputs
	$(call say,GEN,$@)
	$(Q)LC_ALL=C awk -v out=$(@D)/schemas -v of=schema -v from=schemas/ -v ext=.json -f $< $(SCHEMAS) /dev/null
$(BUILD)/gen/page_files.h: ops/gen/files.awk $(PAGE_FILES) $(BUILD)/gen/inputs
	$(call say,GEN,$@)
	$(Q)LC_ALL=C awk -v out=$(@D)/page_files -v of=page -v from=workers/gateway/page/ -f $< $(PAGE_FILES) /dev/null
$(BUILD)/gen/version.h: Makefile
	$(Q)mkdir -p $(@D) && printf '#pragma once\n#define DRAWBRIDGE_VERSION "%s"\n' '$(VERSION)' > $@
$(BUILD)/gen/%.c: $(BUILD)/gen/%.h ;
$(GEN_OBJS) $(BUILD)/gen/page_files.o: $(BUILD)/gen/%.o: $(BUILD)/gen/%.c Makefile
	$(Q)$(CC) $(CPPFLAGS) $(C_FLAGS) -c -o $@ $<

# ---- compiled. banned.h turns calls we never want into errors, in our programs only.
$(BUILD)/workers/%.o $(BUILD)/producer-cli/%.o $(BUILD)/credentials/%.o: CPPFLAGS += -include workers/core/banned.h
$(BUILD)/producer-cli/%.o $(BUILD)/tests/%.o: CPPFLAGS += -I credentials
$(BUILD)/credentials/%.o: C_FLAGS += -fPIC
$(BUILD)/tests/%.o: CPPFLAGS += -I tests
$(BUILD)/tests/%.o: C_FLAGS += -Wno-unused-parameter
$(BUILD)/%.o: %.c Makefile | $(GEN)
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D) && $(CC) $(CPPFLAGS) $(C_FLAGS) -MMD -MP -c -o $@ $<

ARCHIVE = $(Q)mkdir -p $(@D) && rm -f $@ && $(AR) rcsD $@ $(filter %.o,$^)
LINK = $(Q)mkdir -p $(@D) && $(CC) $(C_FLAGS) $(LD_FLAGS) -o $@ $(filter %.o,$^) $(filter %.a,$^)
$(BUILD)/lib/libcore.a: $(call objs,workers/core/*.c) $(GEN_OBJS) $(BUILD)/gen/inputs
	$(call say,AR,$@)
	$(ARCHIVE)
$(BUILD)/lib/libcli.a: $(filter-out $(BUILD)/producer-cli/main.o,$(call objs,producer-cli/*.c)) $(BUILD)/gen/inputs
	$(call say,AR,$@)
	$(ARCHIVE)
$(CREDENTIALS_LIB): $(call objs,credentials/*.c) $(BUILD)/gen/inputs
	$(call say,AR,$@)
	$(ARCHIVE)
$(BUILD)/lib/libgateway.a: $(filter-out $(BUILD)/workers/gateway/main.o,$(call objs,workers/gateway/*.c)) $(BUILD)/gen/page_files.o $(BUILD)/gen/inputs
	$(call say,AR,$@)
	$(ARCHIVE)
$(BUILD)/lib/libsupport.a: $(call objs,tests/support/*.c) $(BUILD)/gen/inputs
	$(call say,AR,$@)
	$(ARCHIVE)
$(BUILD)/lib/libcoverage.a: $(BUILD)/tests/coverage/hooks.o
	$(call say,AR,$@)
	$(ARCHIVE)
$(BUILD)/lib/lib%.a: $$(call objs,workers/$$*/*.c) $(BUILD)/gen/inputs
	$(call say,AR,$@)
	$(ARCHIVE)

$(BUILD)/bin/drawbridge: $(call objs,producer-cli/main.c) $(CLI_LIB) $(CREDENTIALS_LIB) $(LIBS)
	$(call say,LD,$@)
	$(LINK) $(PKG_LIBS)
$(BUILD)/bin/drawbridge-gateway: $(call objs,workers/gateway/main.c) $(GATEWAY_LIB) $(LIBS)
	$(call say,LD,$@)
	$(LINK) $(GATEWAY_LIBS) $(PKG_LIBS)
$(BUILD)/bin/drawbridge-%: $$(call objs,workers/$$*/*.c) $(LIBS)
	$(call say,LD,$@)
	$(LINK) $(PKG_LIBS)
TEST_ARCHIVES := $(if $(SUPPORT),$(BUILD)/lib/libsupport.a) $(CLI_LIB) $(CREDENTIALS_LIB) $(GATEWAY_LIB) $(LIBS)
$(call tests_of,unit): $(BUILD)/tests/%: $(BUILD)/tests/unit/%.o $(TEST_ARCHIVES)
	$(call say,LD,$@)
	$(LINK) $(GATEWAY_LIBS) $(PKG_LIBS) $(TEST_LIBS)
$(call tests_of,prop): $(BUILD)/tests/%: $(BUILD)/tests/prop/%.o $(TEST_ARCHIVES)
	$(call say,LD,$@)
	$(LINK) $(PKG_LIBS) $(TEST_LIBS)
$(call tests_of,flow): $(BUILD)/tests/%: $(BUILD)/tests/flow/%.o $(TEST_ARCHIVES)
	$(call say,LD,$@)
	$(LINK) $(PKG_LIBS) $(TEST_LIBS)
$(BUILD)/fuzz/%: $(BUILD)/tests/fuzz/%.o $(TEST_ARCHIVES)
	$(call say,LD,$@)
	$(LINK) -fsanitize=fuzzer $(PKG_LIBS)
$(BUILD)/tools/%: $(BUILD)/tests/tools/%.o $(LIBS)
	$(call say,LD,$@)
	$(LINK) $(PKG_LIBS)
$(BUILD)/bench/%: $(BUILD)/tests/bench/%.o $(LIBS)
	$(call say,LD,$@)
	$(LINK) $(PKG_LIBS)
test-programs: $(call tests_of,unit) $(call tests_of,prop) $(call tests_of,flow) $(TOOLS)
bench-programs: $(BENCHES)

FORCE:
.PHONY: help all demo up down logs test build-release build-testable build-clang hardening generators layering unit prop \
  flow scenarios san-unit fuzz fuzz-short fuzz-run chaos chaos-short requirements bench bench-check coverage test-bare tidy \
  chaos-mutants chaos-mutants-sample chaos-connections chaos-sweep sweep-short \
  format hooks install clean test-programs bench-programs FORCE
-include $(shell [ -d $(BUILD) ] && find $(BUILD)/workers $(BUILD)/producer-cli $(BUILD)/credentials $(BUILD)/tests -name '*.d' 2>/dev/null)
