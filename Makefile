# airlock: a PID 1 that turns a container into a safe place for a coding agent.
#
#   make            build/release/{airlock,…}: static-pie, musl, stripped
#   make run        the main job on a real repository, in namespaces of its own
#   make run-agent  the same with the built-in loop, and a model that plays a script
#   make test       every test: unit (sanitizers, then musl), fuzz corpora, end to end
#   make matrix     engine x user x lock x network: what gets out, as a table (root)
#   make check      the fast half of it: unit tests and lint
#   make install    DESTDIR=… PREFIX=/usr: programs, man page, completion, schema
#   make clean
#
#   make ARCH=aarch64   the same programs for 64-bit ARM: build/aarch64/release; install too
#   make check-aarch64  those, their unit tests and fuzz corpora under qemu-user
#   make test-aarch64   those, the filters and the locks on an arm64 kernel in qemu (root)
#
#   make lint           layers, headers, gcc -fanalyzer, clang-tidy, cppcheck
#   make fuzz           T=json S=60: one fuzz target for S seconds; without T: their names
#   make cov            line coverage of the unit tests
#   make repro          two builds in two directories must give the same bytes
#   make bench          beside tini, dumb-init and catatonit, in one run, as ratios
#   make bench-locks    the locks beside nft and iptables, in one run
#   make bench-proxy    the proxy beside squid, tinyproxy and privoxy, with its aims
#   make bench-exec     the exec-server beside codex exec-server, by a client in C
#   make bench-cache    save and restore of a state beside tar; the second start of a task
#                       beside its first, and beside docker commit
#   make bench-agent    the agent loop beside codex exec, on the same script
#   make bench-leak     the scan for leaks beside grep -F -f and a plain read
#   make codex          build/codex: the real Codex client, which the tests drive
#   make bearssl        build/bearssl/libbearssl.a from Debian's source package
#   make deps           install what a fresh Debian machine lacks (apt; asks for root);
#                       deps-test, deps-lint, deps-run, deps-bench, deps-bench-proxy,
#                       deps-engines: what those need beyond it
#   make build/compile_commands.json     for clangd and other editors' helpers
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
PROGRAMS := airlock airlock-spec airlock-run airlock-box airlock-lock airlock-notify \
        airlock-proxy airlock-trust airlock-unseal airlock-cache \
        airlock-auto airlock-exec airlock-agent airlock-push airlock-report

# Parts that several of them share, or that the unit tests and fuzz targets take as well.
BASE := base/utf8.c base/wr.c base/log.c base/io.c base/msg.c base/clock.c base/digits.c \
        base/confine.c

SPEC := base/json.c base/remote.c init/spec.c init/spec_keys.c init/spec_words.c init/spec_check.c \
        init/spec_narrow.c init/spec_load.c

# What the proxy reads and judges by: pure.
DECODERS := base/http1.c netfilter/address.c netfilter/name.c netfilter/resolv.c netfilter/dns.c \
        netfilter/sni.c netfilter/git.c netfilter/glob.c netfilter/preset.c \
        netfilter/policy.c netfilter/policy_parse.c

# What speaks TLS, over BearSSL; and what only it needs.
TLS := base/base64.c base/san.c base/tls.c netfilter/der.c netfilter/ca.c netfilter/anchors.c \
        netfilter/inject.c netfilter/inspect_head.c netfilter/inspect.c

# The netfilter lock.
NETFILTER := netfilter/nl.c netfilter/rules.c netfilter/nft.c netfilter/xt.c \
        netfilter/shared.c netfilter/netfilter.c

# age files, and where keys come from.
AGE := base/environ.c base/base64.c secrets/bech32.c secrets/armor.c secrets/age.c \
        secrets/identity.c secrets/sealed.c secrets/arena.c secrets/keysource.c

# What looks for secrets: pure; and what walks the files for it.
SECRET_PURE := secrets/needle.c secrets/search.c secrets/mask.c secrets/vars.c \
        secrets/inflate.c
LEAK := secrets/look.c secrets/leak.c secrets/leak_ipc.c

# The cache. What it reads back is pure, but for the disk.
CACHE := base/sha256.c base/sum.c init/tar.c init/tree.c init/layer_save.c init/layer_restore.c init/hand.c \
        init/cache_key.c init/cache_entry.c init/cache_parts.c

# Automatic setup: files in, a script out; pure.
AUTO := init/auto_files.c init/auto_choose.c init/auto_script.c

# The exec-server: its decoders are pure, and fuzzed.
EXEC_DECODERS := base/base64.c agent/value.c agent/jwt.c agent/upgrade.c \
        agent/ws.c agent/uri.c agent/rpc.c agent/grant.c agent/env_policy.c \
        agent/toml.c agent/yaml.c agent/skill.c agent/semver.c

# Its other end: what the agent loop and airlock exec-client speak to any exec-server with.
CLIENT := agent/client.c agent/client_wire.c agent/client_process.c agent/client_calls.c \
        base/base64.c agent/value.c agent/jwt.c agent/upgrade.c agent/ws.c agent/uri.c \
        agent/rpc.c agent/buf.c agent/environments.c base/remote.c

# The tools of the agent's loop: pure. Patches have a program of their own too.
PATCH := agent/patch.c agent/patch_parse.c agent/patch_seek.c agent/patch_edit.c agent/truncate.c
TOOLS := $(PATCH) agent/buf.c agent/shells.c agent/patch_call.c agent/toolset.c agent/guide.c \
        agent/quote.c agent/assess.c agent/assess_flags.c

SRC_airlock := $(BASE) \
        init/main.c init/sig.c init/init.c init/tty.c init/stop.c init/program.c
SRC_airlock-spec := $(BASE) $(SPEC) init/spec_main.c init/spec_image.c init/run_options.c \
        init/serve.c init/resume.c init/resume_parse.c init/program.c init/sig.c init/env.c \
        init/policy_text.c init/spec_model.c init/spec_pull.c init/check.c init/doctor.c \
        init/help.c init/child.c init/lock.c init/cgroup.c base/ruleset.c
SRC_airlock-run := $(BASE) init/spec_image.c init/spec_words.c \
        init/sig.c init/tty.c init/stop.c init/spawn.c init/program.c \
        init/run.c init/run_options.c init/watch.c init/child.c init/lock.c init/egress.c \
        init/policy_text.c init/journal.c init/cgroup.c \
        init/env.c init/user.c init/checkout.c init/repo_spec.c \
        init/cache_use.c init/cache_parts.c init/words.c \
        init/boot.c init/setup.c init/unseal.c init/seal.c init/work.c init/report.c \
        base/environ.c
SRC_airlock-box := $(BASE) init/spec_image.c \
        init/box_main.c init/box.c init/run_options.c init/program.c init/sig.c
SRC_airlock-lock := $(BASE) $(NETFILTER) \
        netfilter/lock_main.c netfilter/lock.c netfilter/enter.c netfilter/closed.c \
        netfilter/netns.c netfilter/idmap.c netfilter/route.c netfilter/inside.c \
        netfilter/mounts.c base/ruleset.c netfilter/landlock.c netfilter/fds.c netfilter/environment.c \
        netfilter/sandbox.c netfilter/sandbox_options.c netfilter/sandbox_trust.c \
        netfilter/unlock.c netfilter/apart.c netfilter/scribe.c netfilter/porch.c netfilter/probe.c netfilter/probe_tries.c \
        netfilter/probe_process.c netfilter/rules_main.c netfilter/notify_enter.c
SRC_airlock-notify := $(BASE) netfilter/notify.c netfilter/notify_calls.c \
        netfilter/notify_stream.c netfilter/notify_unix.c netfilter/notify_udp.c \
        netfilter/notify_route.c netfilter/notify_others.c netfilter/notify_diag.c \
        netfilter/notes.c netfilter/agent.c
SRC_airlock-proxy := $(BASE) base/ev.c $(DECODERS) $(TLS) netfilter/look.c \
        netfilter/proxy.c netfilter/proxy_options.c netfilter/conn.c netfilter/dial.c \
        netfilter/door.c netfilter/exchange.c netfilter/tunnel.c netfilter/answer.c \
        netfilter/listen.c netfilter/control.c netfilter/resolve.c netfilter/sock.c \
        netfilter/pool.c netfilter/names.c netfilter/journal.c
SRC_airlock-trust := $(BASE) base/base64.c init/sig.c init/trust.c init/trust_main.c
SRC_airlock-unseal := $(BASE) $(AGE) $(SECRET_PURE) $(LEAK) \
        secrets/filter.c secrets/session.c secrets/unseal_options.c secrets/unseal_open.c \
        secrets/unseal_run.c secrets/unseal_scan.c secrets/unseal.c \
        secrets/secret_main.c secrets/secret_options.c secrets/secret_io.c secrets/main.c
SRC_airlock-exec := $(BASE) base/ev.c base/http1.c $(EXEC_DECODERS) \
        agent/exec.c agent/exec_options.c agent/conn.c agent/dispatch.c agent/info.c \
        agent/session.c agent/job.c agent/job_calls.c agent/keeper.c base/ruleset.c agent/cage.c \
        agent/files.c agent/watch.c agent/discover.c agent/inventory.c agent/config.c agent/place.c agent/tree.c \
        agent/helper.c agent/dial.c agent/fetch.c agent/http.c agent/buf.c \
        agent/journal.c agent/patch_path.c
SRC_airlock-auto := $(BASE) base/json.c $(AUTO) init/journal.c init/difference.c \
        init/auto_find.c init/auto_main.c
SRC_airlock-report := $(BASE) base/json.c init/page.c init/report_main.c
# The agent loop; what it reads of others is pure, and fuzzed.
LOOP_DECODERS := agent/sse.c agent/retry.c agent/history.c agent/answer.c agent/request.c \
        agent/transcript.c agent/schema.c
SRC_airlock-agent := $(BASE) base/environ.c base/http1.c base/ruleset.c $(CLIENT) \
        $(TOOLS) $(LOOP_DECODERS) agent/model.c agent/events.c agent/loop_options.c \
        agent/way.c agent/hands.c agent/guidance.c agent/judge.c agent/tools.c \
        agent/patch_main.c agent/repo_root.c agent/client_main.c agent/client_options.c \
        agent/ask.c agent/turn.c agent/brief.c agent/loop.c
# The push: its git may be the agent's, and what the forge answers is fuzzed.
SRC_airlock-push := $(BASE) base/json.c base/http1.c agent/buf.c agent/fetch.c agent/forge.c \
        agent/push_relay.c agent/push_git.c agent/push_branch.c agent/push_forge.c agent/push_main.c
SRC_airlock-cache := $(BASE) $(SPEC) $(CACHE) init/journal.c init/cache_show.c \
        init/cache_main.c

# Tiny programs with the release flags and link line, for what tests/e2e proves.
PROBES := relro bearssl filter inspect leak netfilter notify
SRC_probe_relro     := $(BASE) tests/probe/relro.c
SRC_probe_bearssl   := tests/probe/bearssl.c
SRC_probe_filter    := $(BASE) tests/probe/filter.c
SRC_probe_inspect   := $(BASE) $(DECODERS) $(TLS) tests/probe/inspect.c
SRC_probe_leak      := $(BASE) $(SECRET_PURE) $(LEAK) tests/probe/leak.c
SRC_probe_netfilter := $(BASE) $(NETFILTER) tests/probe/netfilter.c
SRC_probe_notify    := $(BASE) netfilter/notify_enter.c tests/probe/notify_world.c

# What loads an exec-server, for make bench-exec: made of the agent's own client.
SRC_bench_exec := $(BASE) base/http1.c $(CLIENT) tests/bench/exec_load.c

# The unit tests, and the modules that they and the fuzz targets take apart.
UNIT     := $(sort $(wildcard tests/unit/*.c))
FUZZ_SRC := $(sort $(BASE) $(SPEC) $(DECODERS) $(TLS) $(AGE) $(SECRET_PURE) $(CACHE) $(AUTO) \
        $(EXEC_DECODERS) $(TOOLS) $(LOOP_DECODERS) $(CLIENT) base/ev.c base/ruleset.c \
        agent/forge.c init/child.c init/spec_image.c init/resume_parse.c init/serve.c init/env.c init/policy_text.c \
        init/spec_model.c init/spec_pull.c init/trust.c init/page.c \
        netfilter/names.c netfilter/lock.c netfilter/idmap.c netfilter/mounts.c \
        netfilter/landlock.c netfilter/sandbox_options.c netfilter/notes.c \
        netfilter/nl.c netfilter/rules.c)
UNIT_SRC := $(FUZZ_SRC) $(UNIT)
FUZZ     := $(patsubst tests/fuzz/%.c,%,$(filter-out %/replay.c,$(wildcard tests/fuzz/*.c)))

# --- for which machine ---------------------------------------------------------------
# Another than this one has a tree of its own below build/, a cross compiler from Debian,
# and its musl unpacked there: nothing of this machine is changed for it.
MACHINE  := $(shell uname -m)
ARCH     := $(MACHINE)
NATIVE   := $(filter $(MACHINE),$(ARCH))
OUT      := $(if $(NATIVE),build,build/$(ARCH))
ifeq ($(NATIVE),)
ifneq ($(ARCH),aarch64)
$(error ARCH=$(ARCH): a cross build is for aarch64 alone)
endif
ifneq ($(filter-out all install bearssl tests-built $(OUT)/%,$(MAKECMDGOALS)),)
$(error ARCH=$(ARCH) goes with all and install; its tests are: make check-aarch64 test-aarch64)
endif
endif

# BearSSL goes to those that hold one of these.
BEARSSL     ?= $(OUT)/bearssl/libbearssl.a
BEARSSL_INC ?= build/bearssl/src/inc
BEARSSL_HOST := build/bearssl/host/libbearssl.a
USES_BEARSSL := base/tls.c secrets/age.c init/trust.c agent/upgrade.c agent/guide.c \
        tests/probe/bearssl.c
bearssl = $(if $(filter $(USES_BEARSSL),$(SRC_$(1))),$(BEARSSL))

# The C library of another machine, and gcc told to use it: Debian's musl-gcc for this one
# says the same with the paths of this one.
TOOLCHAIN := $(if $(NATIVE),,$(OUT)/musl/musl-gcc)
build/aarch64/musl/musl-gcc: tests/aarch64/fetch | $(if $(NATIVE),,deps-aarch64)
	rm -rf $(@D) build/aarch64/debs && mkdir -p $(@D)
	tests/aarch64/fetch build/aarch64/debs musl-dev
	dpkg-deb -x build/aarch64/debs/musl-dev_*.deb $(@D)
	sed -i 's,/usr/\(include\|lib\)/,$(CURDIR)/$(@D)&,g' $(@D)/usr/lib/aarch64-linux-musl/musl-gcc.specs
	printf '#!/bin/sh\nexec aarch64-linux-gnu-gcc "$$@" -specs "%s"\n' \
	        '$(CURDIR)/$(@D)/usr/lib/aarch64-linux-musl/musl-gcc.specs' > $@.part
	chmod +x $@.part && mv $@.part $@

# Headers that a build makes or fetches before it compiles anything.
GENERATED   := build/generated/jsmn.h $(OUT)/generated/filter.h build/generated/preset.inc \
        $(if $(filter build/bearssl/src/inc,$(BEARSSL_INC)),build/bearssl/src)

# --- release: Debian's musl, by an explicit link line --------------------------------
# musl-gcc -static-pie links a dynamic PIE and says nothing; -print-file-name=rcrt1.o
# answers with glibc's. Hence the named files and the INTERP check.
CROSS    := $(if $(NATIVE),,$(ARCH)-linux-gnu-)
MUSL_GCC ?= $(if $(NATIVE),musl-gcc,$(OUT)/musl/musl-gcc)
MUSL     ?= $(if $(NATIVE),,$(OUT)/musl)/usr/lib/$(ARCH)-linux-musl
crtfile   = $(shell $(CROSS)gcc -print-file-name=$(1))

LANG_FLAGS := -std=c11 -D_GNU_SOURCE -I. -isystem $(BEARSSL_INC) -DAIRLOCK_VERSION='"$(VERSION)"'
SMALL  := -Os -flto=auto -flto-partition=one -ffunction-sections -fdata-sections \
          -fno-asynchronous-unwind-tables -fno-unwind-tables -fno-plt
# Of aarch64's two ways to be atomic the old one is inline, and runs everywhere.
HARDEN := $(if $(filter aarch64,$(ARCH)),-mno-outline-atomics) -fPIE -fstack-protector-strong -fstack-clash-protection \
          -ftrivial-auto-var-init=zero -fno-delete-null-pointer-checks \
          -fno-strict-overflow -fno-strict-aliasing
REPRO   = -ffile-prefix-map=$(CURDIR)=. -frandom-seed=$@ -Wdate-time
WARN   := -Wall -Wextra -Werror -Wshadow -Wconversion -Wstrict-prototypes \
          -Wmissing-prototypes -Wvla -Wcast-qual -Wpointer-arith -Wwrite-strings -Wundef \
          -Wswitch-enum -Wformat=2 -Wnull-dereference -Wimplicit-fallthrough \
          -Wlogical-op -Wduplicated-cond -Wduplicated-branches -Wtrampolines
UAPI   := -isystem $(OUT)/uapi
RELEASE = $(LANG_FLAGS) $(SMALL) $(HARDEN) $(REPRO) $(WARN) $(UAPI) \
        -isystem $(OUT)/generated -isystem build/generated

LINK = $(MUSL_GCC) $(SMALL) $(HARDEN) -nostartfiles -static \
        -Wl,-pie,--no-dynamic-linker,-z,text $(MUSL)/rcrt1.o $(MUSL)/crti.o \
        $(call crtfile,crtbeginS.o) $(filter-out %.ld,$(1)) $(call crtfile,crtendS.o) \
        $(MUSL)/crtn.o \
        -Wl,-T,base/link.ld,--gc-sections,--sort-section=name,--build-id=none,-e,$(2)

.PHONY: all
all: $(PROGRAMS:%=$(OUT)/release/%) $(OUT)/release/path/apply_patch

# airlock-agent under another name; agent/patch_main.h says why.
$(OUT)/release/path/apply_patch:
	@mkdir -p $(@D)
	ln -sfn ../airlock-agent $@

# The one recursion: targets that install what they need first start a second make,
# because this one decided what exists before apt ran.
AGAIN = $(MAKE) --no-print-directory $(if $(findstring -j,$(MAKEFLAGS)),,-j$(shell nproc))

# musl-gcc does not see the kernel's headers, and -idirafter /usr/include would let
# glibc's in: three symlinks do it.
UAPI_FROM := $(if $(NATIVE),/usr/include,/usr/$(ARCH)-linux-gnu/include)
$(OUT)/uapi:
	mkdir -p $@.part
	ln -sfn $(UAPI_FROM)/linux $@.part/linux
	ln -sfn $(UAPI_FROM)/asm-generic $@.part/asm-generic
	ln -sfn $(UAPI_FROM)$(if $(NATIVE),/$(ARCH)-linux-gnu)/asm $@.part/asm
	mv $@.part $@

# PID 1 and its neighbours wait; what they wait for takes its time. So size is all.
$(OUT)/release/init/%.o: SMALL += -Oz

# -MD and not -MMD: what is in build/generated counts as a system header.
$(OUT)/release/%.o: %.c Makefile | $(OUT)/uapi $(GENERATED) $(TOOLCHAIN)
	@mkdir -p $(@D)
	$(MUSL_GCC) $(RELEASE) -MD -MP -c $< -o $@

# jsmn is one header, Debian's; linked into our own include folder so that nothing else
# of /usr/include is seen.
JSMN ?= /usr/include/jsmn.h
build/generated/jsmn.h: $(JSMN)
	@mkdir -p $(@D)
	cp $< $@

# The seccomp filters: a generator runs on the build machine, with its libseccomp, and
# writes BPF for $(ARCH) as C arrays. The shipped programs carry no library.
build/generated/filter_gen: netfilter/filter_gen.c Makefile
	@mkdir -p $(@D)
	gcc $(LANG_FLAGS) -g -O1 $(WARN) $< -lseccomp -o $@
$(OUT)/generated/filter.h: build/generated/filter_gen
	@mkdir -p $(@D)
	$< $(ARCH) > $@

# The preset: each host of the two lists as a line of one C string.
build/generated/preset.inc: $(wildcard rootfs/presets/*.txt) Makefile
	@mkdir -p $(@D)
	{ echo 'const char preset_common[] ='; \
	  sed -E '/^(#|$$)/d; s/.*/"&\\n"/' $(filter %.txt,$^); echo ';'; } > $@

objects = $(SRC_$(1):%.c=$(2)/%.o)
entry = $(if $(filter init/sig.c,$(SRC_$(1))),sig_start,_start)
BUILT := $(PROGRAMS) $(PROBES:%=probe_%) bench_exec
$(foreach p,$(BUILT),$(eval $(OUT)/release/$(p): $(call objects,$(p),$(OUT)/release) \
        $(call bearssl,$(p))))
# Whole or not at all: a test runner may kill a make.
$(BUILT:%=$(OUT)/release/%): base/link.ld
	$(call LINK,$^,$(call entry,$(@F))) -s -o $@.part
	@! readelf -lW $@.part | grep -q INTERP || { echo '$@: has an interpreter'; exit 1; }
	@mv $@.part $@

# --- unit tests: the same sources, gcc's sanitizers on glibc, then the release flags ---
# gcc 12 invents -Wconversion and -Wnull-dereference warnings under -fsanitize.
HOST := $(LANG_FLAGS) -g -O1 $(filter-out -Wconversion -Wnull-dereference,$(WARN)) \
        -isystem build/generated
ASAN := $(HOST) -fsanitize=address,undefined -fno-sanitize-recover=all

build/asan/%.o: %.c Makefile | $(GENERATED)
	@mkdir -p $(@D)
	gcc $(ASAN) -MD -MP -c $< -o $@
.PRECIOUS: build/asan/%.o
build/asan/unit: $(UNIT_SRC:%.c=build/asan/%.o) $(BEARSSL_HOST)
	gcc $(ASAN) $^ -o $@
$(OUT)/release/unit: $(UNIT_SRC:%.c=$(OUT)/release/%.o) $(BEARSSL) base/link.ld
	$(call LINK,$^,_start) -o $@
build/asan/probe_inspect: $(call objects,probe_inspect,build/asan) $(BEARSSL_HOST)
	gcc $(ASAN) $^ -o $@

# --- fuzzing: one entry point for libFuzzer, for gcc's replay of the corpus, for AFL++ --
# tests/fuzz/NAME.c states an invariant; tests/fuzz/corpus/NAME/ is replayed as a test.
S ?= 60
.PHONY: fuzz
fuzz: $(if $(T),build/fuzz/$(T))
	@test -n '$(T)' || { echo 'make fuzz T=NAME S=SECONDS; NAME: $(FUZZ)'; exit 2; }
	mkdir -p build/corpus/$(T) tests/fuzz/corpus/$(T)
	build/fuzz/$(T) -max_total_time=$(S) -timeout=5 -artifact_prefix=build/fuzz/ \
	        build/corpus/$(T) tests/fuzz/corpus/$(T)
FUZZED := clang $(LANG_FLAGS) -g -O1 -isystem build/generated -fno-sanitize-recover=all
build/fuzz/%.o: %.c Makefile | $(GENERATED)
	@mkdir -p $(@D)
	$(FUZZED) -fsanitize=fuzzer-no-link,address,undefined -MD -MP -c $< -o $@
.PRECIOUS: build/fuzz/%.o
build/fuzz/%: build/fuzz/tests/fuzz/%.o $(FUZZ_SRC:%.c=build/fuzz/%.o) $(BEARSSL_HOST)
	$(FUZZED) -fsanitize=fuzzer,address,undefined $^ -o $@
build/asan/fuzz_%: build/asan/tests/fuzz/%.o build/asan/tests/fuzz/replay.o \
                   $(FUZZ_SRC:%.c=build/asan/%.o) $(BEARSSL_HOST)
	gcc $(ASAN) $^ -o $@

# The same with the release flags, for a machine that the sanitizers are not here for: all
# modules as one object, which each target's link takes its own from.
$(OUT)/release/fuzzed.o: $(FUZZ_SRC:%.c=$(OUT)/release/%.o) $(BEARSSL)
	$(MUSL_GCC) $(SMALL) $(HARDEN) -r -nostdlib -flinker-output=nolto-rel $^ -o $@
.PRECIOUS: $(OUT)/release/%.o
$(OUT)/release/fuzz_%: $(OUT)/release/tests/fuzz/%.o $(OUT)/release/tests/fuzz/replay.o \
                       $(OUT)/release/fuzzed.o base/link.ld
	$(call LINK,$^,_start) -o $@

# --- tests -----------------------------------------------------------------------------
TESTED := all $(if $(NATIVE),build/asan/unit) $(OUT)/release/unit \
        $(PROBES:%=$(OUT)/release/probe_%) \
        $(FUZZ:%=$(if $(NATIVE),build/asan,$(OUT)/release)/fuzz_%)
.PHONY: test tests-built check check-aarch64 test-aarch64 run run-agent matrix bench bench-locks \
        bench-proxy bench-leak bench-cache bench-exec bench-agent
tests-built: $(TESTED)
test: deps deps-test
	+$(AGAIN) tests-built codex
	tests/run
check: deps deps-test deps-lint
	+$(AGAIN) tests-built
	tests/run unit fuzz
	+$(AGAIN) lint-all
run: deps deps-run
	+$(AGAIN) all
	tests/demo/main-job.sh
run-agent: deps deps-run
	+$(AGAIN) all
	tests/demo/main-job.sh loop
# The other architecture; on a machine that has it, make test is its test.
check-aarch64: deps deps-aarch64
	+$(AGAIN) ARCH=aarch64 tests-built
	tests/aarch64/check
test-aarch64: deps deps-aarch64
	+$(AGAIN) ARCH=aarch64 tests-built
	tests/aarch64/image
	tests/aarch64/boot
matrix: deps deps-test deps-engines all
	python3 tests/e2e/test_matrix.py --table

bench: deps deps-bench
	+$(AGAIN) all
	python3 tests/bench/bench.py
bench-locks: deps deps-bench
	+$(AGAIN) all build/release/probe_netfilter build/release/probe_notify
	python3 tests/bench/bench_locks.py
	python3 tests/bench/bench_notify.py
bench-proxy: deps deps-bench-proxy
	+$(AGAIN) build/release/airlock-proxy
	/usr/bin/python3 tests/bench/bench_proxy.py
bench-agent: deps deps-bench
	+$(AGAIN) all
	python3 tests/bench/bench_agent.py
bench-leak: deps deps-bench
	+$(AGAIN) build/release/probe_leak
	python3 tests/bench/bench_leak.py
bench-cache: deps deps-bench deps-engines
	+$(AGAIN) all
	python3 tests/bench/bench_cache.py
	python3 tests/bench/bench_start.py
bench-exec: deps deps-run
	+$(AGAIN) build/release/airlock build/release/airlock-exec build/release/bench_exec
	python3 tests/bench/bench_exec.py

# --- coverage --------------------------------------------------------------------------
build/cov/%.o: %.c Makefile | $(GENERATED)
	@mkdir -p $(@D)
	gcc $(HOST) -O0 --coverage -MD -MP -c $< -o $@
build/cov/unit: $(UNIT_SRC:%.c=build/cov/%.o) $(BEARSSL_HOST)
	gcc --coverage $^ -o $@
.PHONY: cov
cov: build/cov/unit
	@find build/cov -name '*.gcda' -delete
	build/cov/unit
	@for o in $(FUZZ_SRC:%.c=build/cov/%.gcda); do \
	        gcov -n "$$o" 2>/dev/null | awk -v want="$${o#build/cov/}" \
	                -F"'" '/^File/ { f = $$2 } \
	                /^Lines/ && f ~ /^(base|init|netfilter|secrets|agent)\/.*c$$/ { \
	                        split($$0, a, ":"); print f ": " a[2]; exit }'; \
	done

# --- lint: the three analysers overlap little, so all three run --------------------------
LINT_SRC := $(sort netfilter/filter_gen.c $(FUZZ_SRC) $(foreach p,$(PROGRAMS),$(SRC_$(p))))
.PHONY: lint lint-all layers headers analyzer tidy cppcheck
lint: deps deps-lint
	+$(AGAIN) lint-all
lint-all: layers headers analyzer tidy cppcheck
layers:
	tests/lint/layers
headers: $(GENERATED)
	tests/lint/headers
analyzer: $(LINT_SRC:%.c=build/lint/%.analyzed)
tidy: $(LINT_SRC:%.c=build/lint/%.tidied)
build/lint/%.analyzed: %.c Makefile | $(GENERATED)
	@mkdir -p $(@D)
	gcc $(HOST) -O2 -fanalyzer -MD -MP -MT $@ -MF $@.d -c $< -o /dev/null
	@touch $@
build/lint/%.tidied: %.c .clang-tidy Makefile | $(GENERATED)
	@mkdir -p $(@D)
	clang-tidy --quiet $< -- $(LANG_FLAGS) -isystem build/generated
	@touch $@
# The cleanup attribute is unknown to it (resourceLeak; the unit runner counts open
# descriptors instead), and it sees neither the system's headers nor every caller.
cppcheck: $(GENERATED)
	@mkdir -p build/lint/cppcheck
	cppcheck --quiet --error-exitcode=1 --inline-suppr --std=c11 --language=c \
	        --enable=warning,performance,portability -j$(shell nproc) \
	        --cppcheck-build-dir=build/lint/cppcheck -D_GNU_SOURCE -D__$(ARCH)__ -I. \
	        -DAIRLOCK_VERSION='"$(VERSION)"' \
	        --suppress=resourceLeak --suppress=missingIncludeSystem \
	        --suppress='*:build/generated/*' $(LINT_SRC)

# One entry for each C file of the tree.
build/compile_commands.json: Makefile
	@mkdir -p $(@D)
	@{ sep='['; for f in $(LINT_SRC) $(wildcard tests/*/*.c); do \
	        printf '%s\n{"directory": "%s", "file": "%s", "arguments": ["gcc"' \
	                "$$sep" '$(CURDIR)' "$$f"; \
	        for a in -std=c11 -D_GNU_SOURCE -I. '-DAIRLOCK_VERSION=\"$(VERSION)\"' \
	                -isystem $(BEARSSL_INC) -isystem build/generated -c "$$f"; do \
                        printf ', "%s"' "$$a"; done; \
	        printf ']}'; sep=','; done; printf '\n]\n'; } > $@

# --- the real Codex client, from npm: without it the tests that drive it say why ----------
CODEX := 0.169.0
.PHONY: codex
codex: build/codex/$(CODEX)
build/codex/$(CODEX):
	-npm install --silent --no-audit --no-fund --no-save --prefix build/codex \
	        @openai/codex@$(CODEX) && touch $@

# --- reproducible: other directories, other times, other numbers of jobs -----------------
.PHONY: repro
repro:
	tests/lint/repro $(PROGRAMS)

# --- BearSSL: Debian's library is built against glibc, so its source package it is -------
# The machine's own apt configuration says where packages come from; the private list
# below build/ adds the deb-src lines it may lack. Another BearSSL, built for this libc:
# make BEARSSL=…/libbearssl.a BEARSSL_INC=…/inc
BEARSSL_TAR    := bearssl_0.6+dfsg.1.orig.tar.xz
BEARSSL_SHA256 := 102a625bd8f6155260867a50c508df8d8c3f796985dd744df1a68e5cd1a79004
PRIVATE_APT     = apt-get -qq -o Dir::Etc::SourceList=$(CURDIR)/build/bearssl/apt/sources.list \
        -o Dir::Etc::SourceParts=/dev/null -o Dir::Cache=$(CURDIR)/build/bearssl/apt/cache \
        -o Dir::State::Lists=$(CURDIR)/build/bearssl/apt/lists -o APT::Sandbox::User=
DEBIAN_KEYS    := /usr/share/keyrings/debian-archive-keyring.gpg
.PHONY: bearssl
bearssl: $(BEARSSL)
build/bearssl/$(BEARSSL_TAR):
	@mkdir -p build/bearssl/apt/lists/partial build/bearssl/apt/cache/archives/partial
	@apt-get indextargets --no-release-info 'Created-By: Packages' 'Component: main' \
	        --format 'deb-src [signed-by=$(DEBIAN_KEYS)] $$(REPO_URI) $$(RELEASE) main' \
	        | sort -u > build/bearssl/apt/sources.list
	@test -s build/bearssl/apt/sources.list || { \
	        echo 'no Debian mirror is configured here: set BEARSSL='; exit 1; }
	$(PRIVATE_APT) update
	cd build/bearssl && $(PRIVATE_APT) source --download-only bearssl
	@echo '$(BEARSSL_SHA256)  $@' | sha256sum --check --quiet
build/bearssl/src: build/bearssl/$(BEARSSL_TAR)
	rm -rf $@.part && mkdir -p $@.part
	@echo '$(BEARSSL_SHA256)  $<' | sha256sum --check --quiet
	tar -C $@.part --strip-components=1 -xf $<
	rm -rf $@ && mv $@.part $@
BEARSSL_FLAGS = -std=gnu99 -W -Wall $(SMALL) $(HARDEN) -ffile-prefix-map=$(CURDIR)=. \
        -frandom-seed=bearssl
$(OUT)/bearssl/libbearssl.a: | build/bearssl/src $(TOOLCHAIN)
	@mkdir -p $(@D)
	$(MAKE) -s -C build/bearssl/src lib CC=$(if $(NATIVE),,$(CURDIR)/)$(MUSL_GCC) \
	        CFLAGS='$(BEARSSL_FLAGS)' AR=$(CROSS)gcc-ar BUILD=$(CURDIR)/$(@D)
# The same for the sanitizers' and the fuzzers' builds: this machine's libc, no LTO.
$(BEARSSL_HOST): | build/bearssl/src
	@mkdir -p $(@D)
	$(MAKE) -s -C build/bearssl/src lib CC=gcc CFLAGS='-std=gnu99 -W -Wall -g -O2 -fPIC' \
	        BUILD=$(CURDIR)/$(@D)

# --- what a fresh Debian machine lacks ----------------------------------------------------
# PACKAGE, or COMMAND:PACKAGE where any version of the command will do.
DEPS       := gcc:gcc git:git libc6-dev libjsmn-dev libseccomp-dev linux-libc-dev \
        musl-tools readelf:binutils
DEPS_TEST  := /usr/sbin/sshd:openssh-server age:age bundle:bundler bwrap:bubblewrap cargo \
        chromium:chromium composer:composer curl:curl dig:bind9-dnsutils gdb:gdb \
        git-lfs:git-lfs go:golang-go gradle:gradle ip:iproute2 iptables:iptables \
        javac:default-jdk-headless junit4 libmaven-dependency-plugin-java mandoc:mandoc mvn:maven \
        nc:netcat-openbsd nft:nftables node:nodejs npm:npm openssl:openssl \
        pip3:python3-pip pipenv:pipenv poetry:python3-poetry procps python3-venv \
        python3-jsonschema python3:python3 socat:socat ssh:openssh-client strace:strace \
        util-linux wget:wget xz:xz-utils
DEPS_LINT  := clang-format:clang-format clang-tidy:clang-tidy clang:clang \
        cppcheck:cppcheck libclang-rt-14-dev
DEPS_RUN   := node:nodejs npm:npm python3:python3
DEPS_BENCH := bwrap:bubblewrap catatonit dumb-init firejail:firejail iptables:iptables \
        nft:nftables node:nodejs npm:npm python3:python3 rg:ripgrep tini
DEPS_BENCH_PROXY := libssl-dev nginx:nginx-light openssl:openssl privoxy:privoxy \
        python3:python3 squid-openssl tinyproxy:tinyproxy wrk:wrk
DEPS_ENGINES := crun:crun ctr:containerd docker:docker.io iptables:iptables \
        podman:podman runc:runc uidmap
DEPS_AARCH64 := aarch64-linux-gnu-gcc:gcc-aarch64-linux-gnu linux-libc-dev-arm64-cross \
        qemu-aarch64-static:qemu-user-static qemu-system-aarch64:qemu-system-arm xz:xz-utils \
        mke2fs:e2fsprogs
SETS := deps deps-test deps-lint deps-run deps-bench deps-bench-proxy deps-engines \
        deps-aarch64
.PHONY: $(SETS)
$(SETS): %: build/deps/%
packages = $($(subst -,_,$(shell echo $(1) | tr a-z A-Z)))
build/deps/%: Makefile tests/lint/deps
	@mkdir -p $(@D)
	@tests/lint/deps $(call packages,$*)
	@touch $@

# --- install --------------------------------------------------------------------------------
TO = $(DESTDIR)$(PREFIX)
HELPERS := $(filter-out airlock,$(PROGRAMS))
.PHONY: install
install: all
	install -d $(TO)/bin $(TO)/share/man/man1 $(TO)/share/airlock \
	        $(TO)/share/bash-completion/completions $(if $(HELPERS),$(TO)/libexec/airlock/path)
	install -m 755 $(OUT)/release/airlock $(TO)/bin/airlock
	$(if $(HELPERS),install -m 755 $(HELPERS:%=$(OUT)/release/%) $(TO)/libexec/airlock/)
	$(if $(HELPERS),ln -sfn ../airlock-agent $(TO)/libexec/airlock/path/apply_patch)
	$(if $(HELPERS),ln -sfn ../libexec/airlock/airlock-agent $(TO)/bin/apply_patch)
	install -m 644 rootfs/airlock.1 $(TO)/share/man/man1/airlock.1
	install -m 644 rootfs/airlock.bash $(TO)/share/bash-completion/completions/airlock
	install -m 644 rootfs/task.schema.json $(TO)/share/airlock/task.schema.json
	install -m 755 rootfs/commit-state $(TO)/share/airlock/commit-state

-include $(shell find $(OUT)/release build/asan build/cov build/fuzz build/lint -name '*.d' 2>/dev/null)

.PHONY: clean
clean:
	rm -rf build
