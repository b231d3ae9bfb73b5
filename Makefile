# Remuda. `make run` and `make test` are all a newcomer needs; both install what is missing.
#
#   make build      the two executables, build/remuda and build/remuda-worker
#   make run        install packages, build, start the pool of pool.ini in the foreground
#   make test       install packages, build, run every test
#   make unit | integration   the parts of it
#   make lint       layers, formatting, long functions and files
#   make sanitize   all tests again under ASan and UBSan
#   make bench      speed and memory, side by side with redis-server
#   make install PREFIX=/usr/local
#
# BUILD=dir builds elsewhere; SAN=1 builds with sanitizers.

BUILD  ?= $(if $(SAN),build-san,build)
PREFIX ?= /usr/local
CC     ?= gcc

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

SHARED_SRC     := $(shell find shared -name '*.c')
CONFIG_SRC     := $(shell find config -name '*.c')
WORKER_SRC     := $(filter-out worker/main.c,$(shell find worker -name '*.c'))
SUPERVISOR_SRC := $(filter-out supervisor/main.c,$(shell find supervisor -name '*.c'))
UNIT_SRC       := $(shell find tests/unit -name 'test_*.c')
UNIT_HELP_SRC  := $(filter-out $(UNIT_SRC),$(shell find tests/unit -name '*.c'))
INTEG_HELP_SRC := $(filter-out $(shell find tests/integration tests/interop -name '[0-9]*.c'),$(shell find tests/integration tests/interop -name '*.c'))
INTEG_SRC      := $(shell find tests/integration tests/interop -name '[0-9]*.c')

obj = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))

.PHONY: all build run test unit integration lint format sanitize bench install clean deps deps-test unit-bins integration-bins
all: build
build: $(BUILD)/remuda $(BUILD)/remuda-worker

$(BUILD)/obj/%.o: %.c | $(BUILD)/gen/first_key.def
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -c $< -o $@

$(BUILD)/obj/supervisor/front/dashboard.o: supervisor/front/dashboard.html

# First key of each command, for the front: generated, so that commands.def stays the only table.
$(BUILD)/gen/first_key.def: worker/command/commands.def
	@mkdir -p $(@D)
	printf '#define COMMAND(name, handler, arity, flags, span, first, ...) FIRST_KEY(name, first)\n#include "$<"\n' | \
	  $(CC) -E -P -I. -x c - > $@

$(BUILD)/lib/shared.a: $(call obj,$(SHARED_SRC))
$(BUILD)/lib/config.a: $(call obj,$(CONFIG_SRC))
$(BUILD)/lib/worker.a: $(call obj,$(WORKER_SRC))
$(BUILD)/lib/supervisor.a: $(call obj,$(SUPERVISOR_SRC))
$(BUILD)/lib/%.a:
	@mkdir -p $(@D)
	@rm -f $@
	$(AR) rcs $@ $^

$(BUILD)/remuda: $(call obj,supervisor/main.c) $(BUILD)/lib/supervisor.a $(BUILD)/lib/config.a $(BUILD)/lib/shared.a
	$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS_SUPERVISOR) $(LIBS_COMMON) $(LIBS_ALLOC)
$(BUILD)/remuda-worker: $(call obj,worker/main.c) $(BUILD)/lib/worker.a $(BUILD)/lib/config.a $(BUILD)/lib/shared.a
	$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS_WORKER) -linih $(LIBS_COMMON) $(LIBS_ALLOC)

# ---- tests ----
UNIT_BIN  := $(patsubst tests/%.c,$(BUILD)/tests/%,$(UNIT_SRC))
INTEG_BIN := $(patsubst tests/%.c,$(BUILD)/tests/%,$(INTEG_SRC))
ALL_LIBS  := $(BUILD)/lib/worker.a $(BUILD)/lib/supervisor.a $(BUILD)/lib/config.a $(BUILD)/lib/shared.a
unit-bins: $(UNIT_BIN)
integration-bins: $(INTEG_BIN)
$(UNIT_BIN): $(BUILD)/tests/%: $(BUILD)/obj/tests/%.o $(call obj,$(UNIT_HELP_SRC)) $(ALL_LIBS)
	@mkdir -p $(@D)
	$(CC) $(ALL_LDFLAGS) -o $@ $< $(call obj,$(UNIT_HELP_SRC)) -Wl,--start-group $(ALL_LIBS) -Wl,--end-group \
	  $(LIBS_WORKER) $(LIBS_SUPERVISOR) $(LIBS_COMMON) -lcmocka $(LIBS_ALLOC)
$(INTEG_BIN): $(BUILD)/tests/%: $(BUILD)/obj/tests/%.o $(call obj,$(INTEG_HELP_SRC)) $(BUILD)/lib/shared.a
	@mkdir -p $(@D)
	$(CC) $(ALL_LDFLAGS) -o $@ $^ -lhiredis -ljansson $(LIBS_COMMON) -lcmocka $(LIBS_ALLOC)

unit: unit-bins
	tests/run $(BUILD) unit
integration: build integration-bins
	tests/run $(BUILD) integration

clean:
	rm -rf $(BUILD)

-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)
