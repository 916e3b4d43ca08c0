# SPDX-License-Identifier: MPL-2.0
#
# One makefile for everything. `make help` lists the targets.
#
#   SAN=address,undefined   a sanitizer build, in a build directory of its own
#   DEBUG=1                 -O0 -g3
#   WERROR=1                warnings are errors (CI)
#   CC=...                  another compiler

# Neither make nor the scripts below would see one name in it.
ifneq ($(words x$(subst :, ,$(subst ', ,$(CURDIR)))),1)
$(error The path of this directory has a blank, a colon or a quote in it, which make cannot handle: $(CURDIR). Move it, for example to /tmp/aerostore)
endif

PREFIX ?= /usr/local
DESTDIR ?=
CC ?= gcc
comma := ,
VARIANT := $(if $(SAN),$(subst $(comma),-,$(SAN)),$(if $(DEBUG),debug,release))$(SUFFIX)
B := build/$(VARIANT)

WARNINGS := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla \
	-Wswitch-enum -Wformat=2 -Wcast-qual -Wundef $(if $(WERROR),-Werror)
OPTIMISE := $(if $(DEBUG),-O0 -g3,-O2 -g)
HARDEN := -fstack-protector-strong -fPIE $(if $(SAN)$(DEBUG),,-D_FORTIFY_SOURCE=2)
SANITIZE := $(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer)
CPPFLAGS += -I. -D_GNU_SOURCE
CFLAGS += -std=c11 $(OPTIMISE) $(WARNINGS) $(HARDEN) $(SANITIZE)
LDFLAGS += -pie -Wl,-z,relro,-z,now $(SANITIZE)

# Layers, lowest first; a layer's archive may use only those before it.
# An archive is every .c file below its folder.
ENGINE_LIBS := -lisal -lxxhash -lsodium -lzstd -lunistring
NET_LIBS := -lssl -lcrypto -lev -llmdb -lpthread
TOOL_LIBS := -lconfuse -ljansson -lbsd
TEST_LIBS := -lcmocka
LIBS := $(TOOL_LIBS) $(NET_LIBS) $(ENGINE_LIBS)

LAYERS := engine net mail lmtp imap
LINK_ORDER := imap lmtp mail net engine
PROGRAMS := aerod aeroctl aerofsck

sources = $(sort $(shell test -d $(1) && find $(1) -name '*.c'))
objects = $(patsubst %.c,$(B)/%.o,$(call sources,$(1)))
ARCHIVES := $(foreach layer,$(LAYERS),$(if $(call sources,$(layer)),$(B)/lib$(layer).a))
LINK := $(foreach layer,$(LINK_ORDER),$(filter %/lib$(layer).a,$(ARCHIVES)))

# A program is every .c file of its folder below tools/, with tools/common/.
BUILT_PROGRAMS := $(foreach program,$(PROGRAMS),$(if $(call sources,tools/$(program)),$(program)))
# A test is one file test_*.c; other .c files below tests/support/ and tests/sim/ are shared by all.
TEST_SOURCES := $(sort $(shell test -d tests && find tests -name 'test_*.c'))
TEST_SHARED := $(filter-out $(TEST_SOURCES) tests/sim/soak.c,$(call sources,tests/support) $(call sources,tests/sim))
TESTS := $(TEST_SOURCES:%.c=$(B)/%)
BENCH_SOURCES := $(sort $(shell test -d bench && find bench -name 'bench_*.c'))
BENCHES := $(BENCH_SOURCES:%.c=$(B)/%)

.PHONY: all
all: $(ARCHIVES) $(BUILT_PROGRAMS:%=$(B)/%)

.PHONY: help
help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | sort | expand -t 18

$(B)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

define archive_rule
$$(B)/lib$(1).a: $$(call objects,$(1))
	@rm -f $$@
	@ar qcs $$@ $$^
endef
$(foreach layer,$(LAYERS),$(eval $(call archive_rule,$(layer))))

define program_rule
$$(B)/$(1): $$(call objects,tools/$(1)) $$(call objects,tools/common) $$(LINK)
	$$(CC) $$(LDFLAGS) -o $$@ $$(filter %.o,$$^) -Wl,--start-group $$(LINK) -Wl,--end-group $$(LIBS)
endef
$(foreach program,$(BUILT_PROGRAMS),$(eval $(call program_rule,$(program))))

$(B)/libtestshared.a: $(TEST_SHARED:%.c=$(B)/plant/%.o)
	@rm -f $@
	@ar qcs $@ $^

# Tests link an engine in which planted bugs can be switched on (engine/plant.h).
$(B)/plant/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) -DAEROSTORE_PLANT $(CFLAGS) -MMD -MP -c -o $@ $<

$(B)/plant/libengine.a: $(patsubst %.c,$(B)/plant/%.o,$(call sources,engine))
	@rm -f $@
	@ar qcs $@ $^

TEST_LINK := $(if $(TEST_SHARED),$(B)/libtestshared.a) $(filter-out %/libengine.a,$(LINK)) $(B)/plant/libengine.a

$(B)/tests/%: $(B)/plant/tests/%.o $(TEST_LINK)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $(filter %.o,$^) -Wl,--start-group $(TEST_LINK) -Wl,--end-group $(LIBS) $(TEST_LIBS)

# What stands in for a module of the engine is linked in front of it, into the tests that want it.
$(B)/tests/lmtp/test_server: $(B)/plant/tests/lmtp/fake_delivery.o
$(B)/tests/imap/test_session $(B)/tests/imap/test_transcripts: $(B)/plant/tests/imap/fake_mailbox.o

$(B)/bench/%: $(B)/bench/%.o $(LINK)
	$(CC) $(LDFLAGS) -o $@ $< -Wl,--start-group $(LINK) -Wl,--end-group $(LIBS)

MINUTES ?= 10

.PHONY: soak
soak: $(addprefix $(B)/tests/,sim/soak fsck/test_flips crash/test_crash_states) ## MINUTES=10: new seeds of the simulations, more flips, new crash states
	@tests/soak.sh $(B) $(MINUTES)

.PHONY: tests benches
tests: $(TESTS) ## build the unit tests
benches: $(BENCHES) ## build the micro-benchmarks

# ---- packages ----

RUN_PACKAGES := gcc libc6-dev make pkg-config libisal-dev libsodium-dev libssl-dev libev-dev libxxhash-dev \
	liblmdb-dev libzstd-dev libunistring-dev libjansson-dev libconfuse-dev libbsd-dev
TEST_PACKAGES := libcmocka-dev python3 python3-argon2 python3-nacl python3-xxhash python3-zstandard openssl curl isync neomutt offlineimap3 strace man-db groff-base bsdextrautils
LINT_PACKAGES := cppcheck clang-format

.PHONY: deps deps-check deps-lint
deps: ## install what the build needs (Debian)
	@tools/dev/deps.sh $(RUN_PACKAGES)
deps-check: ## install what the tests need (Debian)
	@tools/dev/deps.sh $(RUN_PACKAGES) $(TEST_PACKAGES)
deps-lint: ## install what lint needs (Debian)
	@tools/dev/deps.sh $(RUN_PACKAGES) $(LINT_PACKAGES)

# ---- the two commands ----

.PHONY: run check unit
run: deps ## build, make a one-node store in ./run, deliver and read a message, serve until Ctrl-C
	@echo "building in $(B); the first time takes a minute"
	@$(MAKE) --no-print-directory -j$$(nproc) -s all
	@tools/dev/run.sh $(B)

check: deps-check ## install what tests need, run all tests (under 20 minutes on 2 cores)
	@$(MAKE) --no-print-directory -j$$(nproc) -s all tests replays
	@CPPFLAGS="-DAEROSTORE_NULL_CIPHER -DAEROSTORE_TEST_BUILD" \
		$(MAKE) --no-print-directory -j$$(nproc) -s all SUFFIX=-null
	@AEROSTORE_NULL_BUILD=$(B)-null tests/run.sh $(B) $(TESTS) $(sort \
		$(wildcard tests/clients/test_*.sh tests/tools/test_*.sh tests/fuzz/test_*.sh tests/confidentiality/test_*.sh))

unit: tests $(B)/aerofsck ## the unit tests alone, in this variant
	@tests/run.sh $(B) $(TESTS)

# ---- upkeep ----

.PHONY: lint clean compile_commands.json
lint: deps-lint all ## layers, forbidden functions, format, cppcheck
	@tests/lint.sh $(B)

.PHONY: format
format: deps-lint ## lay the C sources out as .clang-format says
	@clang-format -i $$(find engine net mail lmtp imap tools tests bench fuzz -name '*.[ch]')

compile_commands.json: ## for clangd and clang-tidy
	@tools/dev/compile-commands.sh "$(CC) $(CPPFLAGS) $(CFLAGS)" $(call sources,engine net mail lmtp imap tools tests) > $@

clean: ## remove what was built
	rm -rf build compile_commands.json

# ---- fuzzing: fuzz/README.md ----

FUZZ_SOURCES := $(sort $(wildcard fuzz/fuzz_*.c))
FUZZERS := $(FUZZ_SOURCES:%.c=$(B)/%)
REPLAYS := $(FUZZ_SOURCES:fuzz/fuzz_%.c=$(B)/fuzz/replay_%)
FUZZ_SUPPORT := $(B)/tests/support/unit_env.o $(B)/fuzz/disk.o $(B)/fuzz/libcommon.a
FUZZ_BUILD := CC=clang SAN=address,undefined,fuzzer-no-link WARNINGS=
FUZZ_PACKAGES := clang libclang-rt-14-dev llvm
COVERAGE_BUILD := CFLAGS="-fprofile-instr-generate -fcoverage-mapping" LDFLAGS=-fprofile-instr-generate
MINUTES ?= 10

$(B)/fuzz/libcommon.a: $(call objects,tools/common)
	@mkdir -p $(@D)
	@rm -f $@
	@ar qcs $@ $^
$(REPLAYS): $(B)/fuzz/replay_%: $(B)/fuzz/fuzz_%.o $(B)/fuzz/replay.o $(FUZZ_SUPPORT) $(LINK)
	$(CC) $(LDFLAGS) -o $@ $(filter %.o,$^) -Wl,--start-group $(B)/fuzz/libcommon.a $(LINK) -Wl,--end-group $(LIBS)
$(FUZZERS): $(B)/fuzz/fuzz_%: $(B)/fuzz/fuzz_%.o $(FUZZ_SUPPORT) $(LINK)
	$(CC) $(LDFLAGS) -fsanitize=fuzzer -o $@ $(filter %.o,$^) -Wl,--start-group $(B)/fuzz/libcommon.a $(LINK) -Wl,--end-group $(LIBS)

.PHONY: deps-fuzz fuzz fuzz-coverage fuzz-plants fuzzers replays
fuzz-plants: deps-fuzz ## every fuzz target finds the bug of fuzz/plants (TARGET= one): says how many
	@$(MAKE) --no-print-directory -j$$(nproc) -s $(FUZZ_BUILD) fuzzers
	@fuzz/plant.sh build/address-undefined-fuzzer-no-link $(TARGET)
deps-fuzz: ## install what fuzzing needs (Debian)
	@tools/dev/deps.sh $(RUN_PACKAGES) $(FUZZ_PACKAGES)
fuzz: deps-fuzz ## MINUTES=: libFuzzer over all targets in turn, or TARGET=
	@$(MAKE) --no-print-directory -j$$(nproc) -s $(FUZZ_BUILD) fuzzers
	@fuzz/run.sh build/address-undefined-fuzzer-no-link $(MINUTES) $(TARGET)
fuzz-coverage: deps-fuzz ## lines and regions of its sources that each corpus runs through (TARGET= one)
	@$(COVERAGE_BUILD) $(MAKE) --no-print-directory -j$$(nproc) -s CC=clang SUFFIX=-coverage WARNINGS= replays
	@fuzz/coverage.sh build/release-coverage $(TARGET)
fuzzers: $(FUZZERS)
replays: $(REPLAYS)

MANUALS := $(wildcard docs/man/*.[1-8])

.PHONY: install
install: all ## DESTDIR=, PREFIX=/usr/local
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/sbin
	install -m 755 $(B)/aeroctl $(DESTDIR)$(PREFIX)/bin/aeroctl
	install -m 755 $(B)/aerod $(B)/aerofsck $(DESTDIR)$(PREFIX)/sbin
	install -d $(DESTDIR)$(PREFIX)/lib/systemd/system
	sed 's|@PREFIX@|$(PREFIX)|' docs/systemd/aerod.service > $(DESTDIR)$(PREFIX)/lib/systemd/system/aerod.service
	for page in $(MANUALS); do \
		section=$${page##*.}; \
		install -d $(DESTDIR)$(PREFIX)/share/man/man$$section && \
		install -m 644 $$page $(DESTDIR)$(PREFIX)/share/man/man$$section/ || exit 1; \
	done

# ---- benchmarks ----

BENCH_LOADS := $(B)/bench/load_lmtp $(B)/bench/load_imap
$(BENCHES) $(BENCH_LOADS): $(B)/%: $(B)/%.o $(patsubst %.c,$(B)/%.o,$(wildcard bench/load/*.c)) $(LINK)
	$(CC) $(LDFLAGS) -o $@ $(filter %.o,$^) -Wl,--start-group $(LINK) -Wl,--end-group $(LIBS)
$(B)/bench/slow_sync.so: bench/slow_sync.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(filter-out -fPIE,$(CFLAGS)) -fPIC -shared -o $@ $< -ldl

.PHONY: bench
bench: all benches $(BENCH_LOADS) $(B)/bench/slow_sync.so ## ratios against limits and peers (QUICK=1: 6 minutes)
	@python3 bench/bench.py --build $(B) $(if $(QUICK),--quick)

-include $(shell test -d $(B) && find $(B) -name '*.d')
.SECONDARY:
