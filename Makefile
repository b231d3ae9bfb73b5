# Remuda. `make run` and `make test` are all a newcomer needs; both install what is missing.
#
#   make run        install packages, build, start the pool of pool.ini in the foreground
#   make test       install packages, build, run every test
#   make build      the two executables, build/remuda and build/remuda-worker
#   make unit | model | integration | interop   the parts of `make test`
#   make lint       layers, formatting, sizes, tables        make format   format all sources
#   make sanitize   the tests again under ASan and UBSan     make fuzz     FUZZ_SECONDS=10 a target
#   make bench      side by side with redis-server and nutcracker; TABLES="cpu log files pauses cow memory replication"
#   make install | uninstall   PREFIX=/usr/local DESTDIR=
#
# BUILD=dir builds elsewhere; SAN=1 builds with sanitizers; V=1 shows whole commands;
# ONLY=pattern runs only the test programs whose name matches.

BUILD  ?= $(if $(SAN),build-san,build)
PREFIX ?= /usr/local
ifeq ($(origin CC),default)
CC := gcc
endif

WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wcast-qual \
        -Wwrite-strings -Wvla -Wno-unused-parameter -Werror
CFLAGS ?= -O2 -g
ALL_CFLAGS := -std=gnu11 $(CFLAGS) $(WARN) -fno-omit-frame-pointer -fno-strict-aliasing -D_GNU_SOURCE \
              -I. -I$(BUILD) -MMD -MP
LIBS_COMMON     := -lxxhash -lisal -lpthread -lm
LIBS_WORKER     := -lev -llzf
LIBS_SUPERVISOR := -lev -linih -ljansson -lmicrohttpd
LIBS_ALLOC      := -ljemalloc
ifdef SAN
ALL_CFLAGS  := $(filter-out -O2,$(ALL_CFLAGS)) -O1 -fsanitize=address,undefined -fno-sanitize-recover=undefined \
               -DREMUDA_SANITIZE
ALL_LDFLAGS += -fsanitize=address,undefined
LIBS_ALLOC  :=
endif

# One short line for each file made; V=1 shows the commands instead.
Q   := $(if $(V),,@)
say  = $(if $(V),,@echo '  $(1) $@')

SHARED_SRC     := $(shell find shared -name '*.c')
CONFIG_SRC     := $(shell find config -name '*.c')
WORKER_SRC     := $(filter-out worker/main.c,$(shell find worker -name '*.c'))
SUPERVISOR_SRC := $(filter-out supervisor/main.c,$(shell find supervisor -name '*.c'))
UNIT_SRC       := $(shell find tests/unit -name 'test_*.c')
UNIT_HELP_SRC  := $(filter-out $(UNIT_SRC),$(shell find tests/unit -name '*.c'))
INTEG_SRC      := $(wildcard tests/integration/[0-9]*.c tests/interop/[0-9]*.c)
INTEG_HELP_SRC := $(filter-out $(INTEG_SRC),$(wildcard tests/integration/*.c tests/interop/*.c))

obj = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))

.PHONY: all build run test unit model integration interop lint format sanitize fuzz bench install uninstall clean \
        unit-bins integration-bins bench-bins
.DELETE_ON_ERROR:
all: build
build: $(BUILD)/remuda $(BUILD)/remuda-worker

$(BUILD)/obj/%.o: %.c Makefile | $(BUILD)/gen/first_key.def
	@mkdir -p $(@D)
	$(call say,CC  )
	$(Q)$(CC) $(ALL_CFLAGS) -c $< -o $@

$(BUILD)/obj/supervisor/front/dashboard.o: supervisor/front/dashboard.html

# First key of each command, for the front: generated, so that commands.def stays the only table.
$(BUILD)/gen/first_key.def: worker/command/commands.def
	@mkdir -p $(@D)
	$(call say,GEN )
	$(Q)printf '#define COMMAND(name, handler, arity, flags, span, first, ...) FIRST_KEY(name, first)\n#include "$<"\n' | \
	  $(CC) -E -P -I. -x c - > $@

$(BUILD)/lib/shared.a: $(call obj,$(SHARED_SRC))
$(BUILD)/lib/config.a: $(call obj,$(CONFIG_SRC))
$(BUILD)/lib/worker.a: $(call obj,$(WORKER_SRC))
$(BUILD)/lib/supervisor.a: $(call obj,$(SUPERVISOR_SRC))
$(BUILD)/lib/unit_help.a: $(call obj,$(UNIT_HELP_SRC))
$(BUILD)/lib/integration_help.a: $(call obj,$(INTEG_HELP_SRC))
$(BUILD)/lib/%.a:
	@mkdir -p $(@D)
	@rm -f $@
	$(call say,AR  )
	$(Q)$(AR) rcs $@ $^

$(BUILD)/remuda: $(call obj,supervisor/main.c) $(BUILD)/lib/supervisor.a $(BUILD)/lib/config.a $(BUILD)/lib/shared.a
	$(call say,LINK)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS_SUPERVISOR) $(LIBS_COMMON) $(LIBS_ALLOC)
$(BUILD)/remuda-worker: $(call obj,worker/main.c) $(BUILD)/lib/worker.a $(BUILD)/lib/config.a $(BUILD)/lib/shared.a
	$(call say,LINK)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS_WORKER) -linih $(LIBS_COMMON) $(LIBS_ALLOC)

# Packages are looked at first and only then the rest is made, with all cores unless told otherwise.
make_all = $(MAKE) --no-print-directory $(if $(findstring -j,$(MAKEFLAGS)),,-j$(shell nproc))

run:
	@tests/deps build
	+@$(make_all) build
	@exec $(BUILD)/remuda pool.ini

# ---- tests ----
UNIT_BIN  := $(patsubst tests/%.c,$(BUILD)/tests/%,$(UNIT_SRC))
INTEG_BIN := $(patsubst tests/%.c,$(BUILD)/tests/%,$(INTEG_SRC))
ALL_LIBS  := $(BUILD)/lib/worker.a $(BUILD)/lib/supervisor.a $(BUILD)/lib/config.a $(BUILD)/lib/shared.a
unit-bins: $(UNIT_BIN)
integration-bins: $(INTEG_BIN)
$(UNIT_BIN): $(BUILD)/tests/%: $(BUILD)/obj/tests/%.o $(BUILD)/lib/unit_help.a $(ALL_LIBS)
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $< -Wl,--start-group $(BUILD)/lib/unit_help.a $(ALL_LIBS) -Wl,--end-group \
	  $(LIBS_WORKER) $(LIBS_SUPERVISOR) $(LIBS_COMMON) -lcmocka $(LIBS_ALLOC)
$(INTEG_BIN): $(BUILD)/tests/%: $(BUILD)/obj/tests/%.o $(BUILD)/lib/integration_help.a $(BUILD)/lib/shared.a
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ -lhiredis -ljansson $(LIBS_COMMON) -lcmocka $(LIBS_ALLOC)

test:
	@tests/deps build test
	+@$(make_all) build unit-bins integration-bins
	@tests/run $(BUILD) unit model integration interop
unit: unit-bins
	@tests/run $(BUILD) unit
model:
	@tests/run $(BUILD) model
integration: build integration-bins
	@tests/run $(BUILD) integration
interop: build integration-bins
	@tests/run $(BUILD) interop
sanitize:
	@tests/deps build test
	+@$(make_all) SAN=1 build unit-bins integration-bins
	@tests/run build-san unit integration interop

lint:
	@tests/deps build lint
	@tests/run $(BUILD) lint
format:
	@tests/deps lint
	@find config shared supervisor tests worker -name '*.[ch]' | xargs clang-format -i
fuzz:
	@tests/deps build lint
	@tests/run $(BUILD) fuzz
bench:
	@tests/deps build test bench
	+@$(make_all) build bench-bins
	@tests/bench/run $(BUILD) $(TABLES)

bench-bins: $(BUILD)/bench/probe $(BUILD)/bench/slow_sync.so
$(BUILD)/bench/%: tests/bench/%.c
	@mkdir -p $(@D)
	$(call say,CC  )
	$(Q)$(CC) $(ALL_CFLAGS) $< -o $@
$(BUILD)/bench/%.so: tests/bench/%.c
	@mkdir -p $(@D)
	$(call say,CC  )
	$(Q)$(CC) $(ALL_CFLAGS) -shared -fPIC $< -o $@ -ldl

# ---- installation ----
# pool.ini is the operator's once it is there: it is not overwritten.
install: build
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/etc/remuda $(DESTDIR)$(PREFIX)/lib/systemd/system \
	  $(DESTDIR)$(PREFIX)/share/doc/remuda
	install -m 755 $(BUILD)/remuda $(BUILD)/remuda-worker $(DESTDIR)$(PREFIX)/bin
	[ -e $(DESTDIR)$(PREFIX)/etc/remuda/pool.ini ] || \
	  install -m 644 pool.ini $(DESTDIR)$(PREFIX)/etc/remuda/pool.ini
	sed 's|@PREFIX@|$(PREFIX)|g' config/remuda.service >$(DESTDIR)$(PREFIX)/lib/systemd/system/remuda.service
	chmod 644 $(DESTDIR)$(PREFIX)/lib/systemd/system/remuda.service
	install -m 644 $(wildcard README.md LICENSE) $(DESTDIR)$(PREFIX)/share/doc/remuda
uninstall:
	rm -f $(DESTDIR)$(PREFIX)/bin/remuda $(DESTDIR)$(PREFIX)/bin/remuda-worker \
	  $(DESTDIR)$(PREFIX)/lib/systemd/system/remuda.service
	rm -rf $(DESTDIR)$(PREFIX)/share/doc/remuda

clean:
	rm -rf build build-san $(BUILD)

-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)
