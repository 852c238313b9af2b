# airlock: a PID 1 that turns a container into a safe place for a coding agent.
#
#   make            build/release/{airlock,…}: static-pie, musl, stripped
#   make run        the main job on a real repository, in namespaces of its own
#   make test       every test: unit (sanitizers, then musl), fuzz corpora, end to end
#   make deps       install what a fresh Debian machine lacks (apt; asks for root)
#   make install    DESTDIR=… PREFIX=/usr: programs, man page, completion
#   make bench      beside tini, dumb-init and catatonit, in one run, as ratios
#   make lint       layers, headers, gcc -fanalyzer, clang-tidy, cppcheck
#   make fuzz T=json S=60    one fuzz target for S seconds
#   make cov        line coverage of the unit tests
#   make repro      two builds in two directories must give the same bytes
#   make clean
#
# Facts behind the flags: comments here, and tests/e2e/test_build.py proves them.

VERSION := 0.1.0
PREFIX  ?= /usr
DESTDIR ?=

MAKEFLAGS += --no-builtin-rules --no-builtin-variables
.SUFFIXES:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := all
SHELL := /bin/bash

# --- what each program is made of (nothing is globbed into a program) ----------------
BASE := base/utf8.c base/wr.c base/log.c base/io.c

PROGRAMS := airlock
SRC_airlock := $(BASE) base/json.c base/confine.c \
        init/main.c init/sig.c init/init.c init/tty.c init/stop.c init/spawn.c \
        init/spec.c init/spec_check.c init/check.c init/doctor.c init/help.c \
        init/run.c init/box.c init/journal.c init/watch.c init/lock.c init/cgroup.c \
        init/boot.c init/setup.c init/seal.c init/work.c init/report.c

# --- release: Debian's musl, by an explicit link line --------------------------------
# musl-gcc -static-pie links a dynamic PIE and says nothing; -print-file-name=rcrt1.o
# answers with glibc's. Hence the named files and the INTERP check.
ARCH     := $(shell uname -m)
MUSL     ?= /usr/lib/$(ARCH)-linux-musl
MUSL_GCC ?= musl-gcc
crtfile   = $(shell gcc -print-file-name=$(1))

LANG_FLAGS := -std=c11 -D_GNU_SOURCE -I. -DAIRLOCK_VERSION='"$(VERSION)"'
SMALL  := -Os -flto=auto -ffunction-sections -fdata-sections \
          -fno-asynchronous-unwind-tables -fno-unwind-tables -fno-plt
HARDEN := -fPIE -fstack-protector-strong -fstack-clash-protection \
          -ftrivial-auto-var-init=zero -fno-delete-null-pointer-checks \
          -fno-strict-overflow -fno-strict-aliasing
REPRO   = -ffile-prefix-map=$(CURDIR)=. -frandom-seed=$@ -Wdate-time
WARN   := -Wall -Wextra -Werror -Wshadow -Wconversion -Wstrict-prototypes \
          -Wmissing-prototypes -Wvla -Wcast-qual -Wpointer-arith -Wwrite-strings -Wundef \
          -Wswitch-enum -Wformat=2 -Wnull-dereference -Wimplicit-fallthrough \
          -Wlogical-op -Wduplicated-cond -Wduplicated-branches -Wtrampolines
UAPI   := -isystem build/uapi
RELEASE = $(LANG_FLAGS) $(SMALL) $(HARDEN) $(REPRO) $(WARN) $(UAPI) -isystem build/generated

LINK = $(MUSL_GCC) $(SMALL) $(HARDEN) -nostartfiles -static \
        -Wl,-pie,--no-dynamic-linker,-z,text $(MUSL)/rcrt1.o $(MUSL)/crti.o \
        $(call crtfile,crtbeginS.o) $(1) $(call crtfile,crtendS.o) $(MUSL)/crtn.o \
        -Wl,--gc-sections,-z,relro,-z,now,-z,noexecstack,--build-id=none,-e,$(2)

.PHONY: all
all: $(PROGRAMS:%=build/release/%)

# musl-gcc does not see the kernel's headers, and -idirafter /usr/include would let
# glibc's in: three symlinks do it.
build/uapi:
	mkdir -p build/uapi.part
	ln -sfn /usr/include/linux build/uapi.part/linux
	ln -sfn /usr/include/asm-generic build/uapi.part/asm-generic
	ln -sfn /usr/include/$(ARCH)-linux-gnu/asm build/uapi.part/asm
	mv build/uapi.part $@

build/release/%.o: %.c Makefile | build/uapi build/generated/jsmn.h
	@mkdir -p $(@D)
	$(MUSL_GCC) $(RELEASE) -MMD -MP -c $< -o $@

# jsmn is one header, Debian's; linked into our own include folder so that nothing else
# of /usr/include is seen.
JSMN ?= /usr/include/jsmn.h
build/generated/jsmn.h: $(JSMN)
	@mkdir -p $(@D)
	cp $< $@

objects = $(SRC_$(1):%.c=build/release/%.o)
build/release/airlock: $(call objects,airlock)
	$(call LINK,$^,sig_start) -s -o $@
	@! readelf -lW $@ | grep -q INTERP || { echo '$@: has an interpreter'; rm $@; exit 1; }

# --- unit tests: the same sources, gcc's sanitizers on glibc, then the release flags ---
UNIT := $(sort $(wildcard tests/unit/*.c))
UNIT_SRC := $(BASE) base/json.c init/spec.c init/spec_check.c $(UNIT)
ASAN := $(LANG_FLAGS) -g -O1 -fsanitize=address,undefined -fno-sanitize-recover=all \
        $(filter-out -Wconversion -Wnull-dereference,$(WARN)) -isystem build/generated

build/asan/%.o: %.c Makefile | build/generated/jsmn.h
	@mkdir -p $(@D)
	gcc $(ASAN) -MMD -MP -c $< -o $@
build/asan/unit: $(UNIT_SRC:%.c=build/asan/%.o)
	gcc $(ASAN) $^ -o $@
build/release/unit: $(UNIT_SRC:%.c=build/release/%.o)
	$(call LINK,$^,_start) -o $@

-include $(shell find build -name '*.d' 2>/dev/null)

.PHONY: clean
clean:
	rm -rf build
