# SPDX-License-Identifier: MPL-2.0
#
# One makefile for everything. `make help` lists the targets.
#
#   SAN=address,undefined   a sanitizer build, in a build directory of its own
#   DEBUG=1                 -O0 -g3
#   WERROR=1                warnings are errors (CI)
#   CC=...                  another compiler

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
ENGINE_LIBS := -lisal -lsodium -lzstd -lunistring
NET_LIBS := -lssl -lcrypto -lev -llmdb -lpthread
TOOL_LIBS := -lconfuse -ljansson
TEST_LIBS := -lcmocka
LIBS := $(TOOL_LIBS) $(NET_LIBS) $(ENGINE_LIBS)

LAYERS := engine net mail lmtp imap
LINK_ORDER := imap lmtp mail net engine
PROGRAMS := aerod aeroctl

sources = $(sort $(shell test -d $(1) && find $(1) -name '*.c'))
objects = $(patsubst %.c,$(B)/%.o,$(call sources,$(1)))
ARCHIVES := $(foreach layer,$(LAYERS),$(if $(call sources,$(layer)),$(B)/lib$(layer).a))
LINK := $(foreach layer,$(LINK_ORDER),$(filter %/lib$(layer).a,$(ARCHIVES)))

# A program is every .c file of its folder below tools/, with tools/common/.
BUILT_PROGRAMS := $(foreach program,$(PROGRAMS),$(if $(call sources,tools/$(program)),$(program)))
# A test is one file test_*.c; other .c files below tests/support/ and tests/sim/ are shared by all.
TEST_SOURCES := $(sort $(shell test -d tests && find tests -name 'test_*.c'))
TEST_SHARED := $(filter-out $(TEST_SOURCES),$(call sources,tests/support) $(call sources,tests/sim))
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
	@ar rcs $$@ $$^
endef
$(foreach layer,$(LAYERS),$(eval $(call archive_rule,$(layer))))

define program_rule
$$(B)/$(1): $$(call objects,tools/$(1)) $$(call objects,tools/common) $$(LINK)
	$$(CC) $$(LDFLAGS) -o $$@ $$(filter %.o,$$^) -Wl,--start-group $$(LINK) -Wl,--end-group $$(LIBS)
endef
$(foreach program,$(BUILT_PROGRAMS),$(eval $(call program_rule,$(program))))

$(B)/libtestshared.a: $(TEST_SHARED:%.c=$(B)/%.o)
	@rm -f $@
	@ar rcs $@ $^

$(B)/tests/%: $(B)/tests/%.o $(if $(TEST_SHARED),$(B)/libtestshared.a) $(LINK)
	$(CC) $(LDFLAGS) -o $@ $< -Wl,--start-group $(filter %.a,$^) -Wl,--end-group $(LIBS) $(TEST_LIBS)

$(B)/bench/%: $(B)/bench/%.o $(LINK)
	$(CC) $(LDFLAGS) -o $@ $< -Wl,--start-group $(LINK) -Wl,--end-group $(LIBS)

.PHONY: tests
tests: $(TESTS) ## build the unit tests

-include $(shell test -d $(B) && find $(B) -name '*.d')
.SECONDARY:
