# airlock: a PID 1 that turns a container into a safe place for a coding agent.
#
#   make            build/release/{airlock,…}: static-pie, musl, stripped
#   make run        the main job on a real repository, in namespaces of its own
#   make test       every test: unit (sanitizers, then musl), fuzz corpora, end to end
#   make matrix     engine x user x lock x network: what gets out, as a table (root)
#   make check      the fast half of it: unit tests and lint
#   make deps       install what a fresh Debian machine lacks (apt; asks for root)
#   make install    DESTDIR=… PREFIX=/usr: programs, man page, completion, schema
#   make bench      beside tini, dumb-init and catatonit, in one run, as ratios
#   make bench-locks  the locks beside nft and iptables, in one run
#   make lint       layers, headers, gcc -fanalyzer, clang-tidy, cppcheck
#   make fuzz T=json S=60    one fuzz target for S seconds
#   make cov        line coverage of the unit tests
#   make repro      two builds in two directories must give the same bytes
#   make bearssl    build/bearssl/libbearssl.a from Debian's source package
#   make build/compile_commands.json     for clangd and other editors' helpers
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
BASE := base/utf8.c base/wr.c base/log.c base/io.c base/msg.c base/clock.c

SPEC := base/json.c init/spec.c init/spec_keys.c init/spec_words.c init/spec_check.c \
        init/spec_narrow.c init/spec_load.c

# What the proxy reads and judges by: pure, and fuzzed.
DECODERS := base/http1.c netfilter/address.c netfilter/name.c netfilter/dns.c \
        netfilter/sni.c netfilter/git.c netfilter/glob.c netfilter/preset.c \
        netfilter/policy.c netfilter/policy_parse.c

PROGRAMS := airlock airlock-spec airlock-run airlock-box airlock-explain airlock-lock \
        airlock-notify airlock-proxy airlock-trust airlock-secret
AGE := secrets/base64.c secrets/bech32.c secrets/armor.c secrets/age.c secrets/identity.c \
        secrets/sealed.c secrets/arena.c secrets/keysource.c

SRC_airlock := $(BASE) base/confine.c \
        init/main.c init/sig.c init/init.c init/tty.c init/stop.c init/program.c
SRC_airlock-spec := $(BASE) base/confine.c $(SPEC) init/spec_image.c \
        init/spec_main.c init/run_options.c init/program.c init/sig.c init/env.c
SRC_airlock-run := $(BASE) base/confine.c init/spec_image.c init/spec_words.c \
        init/sig.c init/tty.c init/stop.c init/spawn.c init/program.c \
        init/run.c init/run_options.c init/watch.c init/lock.c init/egress.c \
        init/policy_text.c init/journal.c init/cgroup.c \
        init/env.c init/user.c init/checkout.c init/repo_spec.c \
        init/boot.c init/setup.c init/seal.c init/work.c init/report.c
SRC_airlock-box := $(BASE) base/confine.c init/spec_image.c \
        init/box_main.c init/box.c init/run_options.c init/program.c init/sig.c
SRC_airlock-explain := $(BASE) base/confine.c $(SPEC) init/sig.c \
        init/explain.c init/check.c init/doctor.c init/help.c init/lock.c init/cgroup.c \
        init/program.c
# The netfilter lock: part of airlock-lock.
NETFILTER := netfilter/nl.c netfilter/rules.c netfilter/nft.c netfilter/xt.c netfilter/shared.c \
        netfilter/netfilter.c
SRC_airlock-lock := $(BASE) base/confine.c $(NETFILTER) \
        netfilter/lock_main.c netfilter/lock.c netfilter/enter.c netfilter/closed.c \
        netfilter/netns.c netfilter/idmap.c netfilter/route.c netfilter/inside.c \
        netfilter/mounts.c netfilter/landlock.c netfilter/fds.c netfilter/environment.c \
        netfilter/sandbox.c netfilter/sandbox_options.c netfilter/unlock.c \
        netfilter/probe.c netfilter/probe_tries.c netfilter/probe_process.c \
        netfilter/rules_main.c netfilter/notify_enter.c
SRC_airlock-notify := $(BASE) base/confine.c netfilter/notify.c netfilter/notify_calls.c \
        netfilter/notify_stream.c netfilter/notify_unix.c netfilter/notify_udp.c \
        netfilter/notify_route.c netfilter/notify_diag.c netfilter/notes.c netfilter/agent.c
SRC_airlock-proxy := $(BASE) base/confine.c base/ev.c $(DECODERS) \
        netfilter/proxy.c netfilter/proxy_options.c netfilter/conn.c netfilter/dial.c \
        netfilter/door.c netfilter/exchange.c netfilter/tunnel.c netfilter/answer.c \
        netfilter/listen.c netfilter/control.c netfilter/resolve.c netfilter/sock.c \
        netfilter/pool.c netfilter/names.c netfilter/journal.c

SRC_airlock-trust := $(BASE) base/confine.c base/base64.c init/sig.c init/trust.c \
        init/trust_main.c

SRC_airlock-secret := $(BASE) base/confine.c base/environ.c $(AGE) \
        secrets/secret_main.c secrets/secret_options.c secrets/secret_io.c

# What speaks TLS, over BearSSL; and what only it needs.
TLS := base/base64.c base/tls.c netfilter/der.c netfilter/ca.c netfilter/anchors.c \
        netfilter/inject.c netfilter/inspect_head.c netfilter/inspect.c

BEARSSL     ?= build/bearssl/libbearssl.a
BEARSSL_INC ?= build/bearssl/src/inc
BEARSSL_HOST := build/bearssl/host/libbearssl.a
# Headers that a build makes or fetches before it compiles anything.
GENERATED   := build/generated/jsmn.h build/generated/filter.h build/generated/preset.inc \
        $(if $(filter build/bearssl/src/inc,$(BEARSSL_INC)),build/bearssl/src)

# --- release: Debian's musl, by an explicit link line --------------------------------
# musl-gcc -static-pie links a dynamic PIE and says nothing; -print-file-name=rcrt1.o
# answers with glibc's. Hence the named files and the INTERP check.
ARCH     := $(shell uname -m)
MUSL     ?= /usr/lib/$(ARCH)-linux-musl
MUSL_GCC ?= musl-gcc
crtfile   = $(shell gcc -print-file-name=$(1))

LANG_FLAGS := -std=c11 -D_GNU_SOURCE -I. -isystem $(BEARSSL_INC) -DAIRLOCK_VERSION='"$(VERSION)"'
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
        -Wl,--gc-sections,--sort-section=name,-z,relro,-z,now,-z,noexecstack,--build-id=none,-e,$(2)

.PHONY: all
all: $(PROGRAMS:%=build/release/%)

# The one recursion: targets that install what they need first start a second make,
# because this one decided what exists before apt ran.
AGAIN = $(MAKE) --no-print-directory $(if $(findstring -j,$(MAKEFLAGS)),,-j$(shell nproc))

# musl-gcc does not see the kernel's headers, and -idirafter /usr/include would let
# glibc's in: three symlinks do it.
build/uapi:
	mkdir -p build/uapi.part
	ln -sfn /usr/include/linux build/uapi.part/linux
	ln -sfn /usr/include/asm-generic build/uapi.part/asm-generic
	ln -sfn /usr/include/$(ARCH)-linux-gnu/asm build/uapi.part/asm
	mv build/uapi.part $@

# -MD and not -MMD: what is in build/generated counts as a system header.
build/release/%.o: %.c Makefile | build/uapi $(GENERATED)
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
build/generated/filter.h: build/generated/filter_gen
	$< $(ARCH) > $@

# The preset: each host of the two lists as a line of one C string.
build/generated/preset.inc: $(wildcard rootfs/presets/*.txt)
	@mkdir -p $(@D)
	sed -E '/^(#|$$)/d; s/.*/"&\\n"/' $^ > $@

objects = $(SRC_$(1):%.c=build/release/%.o)
entry = $(if $(filter init/sig.c,$(SRC_$(1))),sig_start,_start)
$(foreach p,$(PROGRAMS),$(eval build/release/$(p): $(call objects,$(p))))
build/release/airlock-proxy build/release/airlock-trust build/release/airlock-secret: $(BEARSSL)
$(PROGRAMS:%=build/release/%):
	$(call LINK,$^,$(call entry,$(@F))) -s -o $@
	@! readelf -lW $@ | grep -q INTERP || { echo '$@: has an interpreter'; rm $@; exit 1; }

# --- unit tests: the same sources, gcc's sanitizers on glibc, then the release flags ---
UNIT := $(sort $(wildcard tests/unit/*.c))
UNIT_NETFILTER := netfilter/lock.c netfilter/idmap.c netfilter/mounts.c netfilter/landlock.c \
        netfilter/sandbox_options.c netfilter/notes.c netfilter/nl.c netfilter/rules.c
UNIT_SRC := $(BASE) base/ev.c base/json.c init/spec.c init/spec_keys.c init/spec_words.c \
        init/spec_check.c init/spec_narrow.c init/spec_image.c init/env.c init/policy_text.c \
        init/trust.c $(DECODERS) $(TLS) netfilter/names.c $(UNIT_NETFILTER) \
        base/environ.c $(AGE) $(UNIT)
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
build/release/unit: $(UNIT_SRC:%.c=build/release/%.o) $(BEARSSL)
	$(call LINK,$^,_start) -o $@

# --- probes: tiny programs with the release flags and link line, for test_build.py -----
PROBE_relro   := tests/probe/relro.c base/confine.c $(BASE)
PROBE_bearssl := tests/probe/bearssl.c
PROBE_notify  := tests/probe/notify_world.c netfilter/notify_enter.c base/confine.c $(BASE)
build/release/probe_relro: $(PROBE_relro:%.c=build/release/%.o)
	$(call LINK,$^,_start) -s -o $@
build/release/probe_notify: $(PROBE_notify:%.c=build/release/%.o)
	$(call LINK,$^,_start) -s -o $@
PROBE_inspect := tests/probe/inspect.c $(BASE) $(DECODERS) $(TLS)
build/release/probe_inspect: $(PROBE_inspect:%.c=build/release/%.o) $(BEARSSL)
	$(call LINK,$^,_start) -o $@
build/asan/probe_inspect: $(PROBE_inspect:%.c=build/asan/%.o) $(BEARSSL_HOST)
	gcc $(ASAN) $^ -o $@
build/release/probe_bearssl: $(PROBE_bearssl:%.c=build/release/%.o) $(BEARSSL)
	$(call LINK,$^,_start) -s -o $@

PROBE_netfilter := tests/probe/netfilter.c $(BASE) $(NETFILTER)
build/release/probe_netfilter: $(PROBE_netfilter:%.c=build/release/%.o)
	$(call LINK,$^,_start) -s -o $@

PROBE_filter := tests/probe/filter.c $(BASE)
build/release/probe_filter: $(PROBE_filter:%.c=build/release/%.o)
	$(call LINK,$^,_start) -s -o $@

# --- fuzzing: one entry point for libFuzzer, for gcc's replay of the corpus, for AFL++ --
# tests/fuzz/NAME.c states an invariant; tests/fuzz/corpus/NAME/ is replayed as a test.
FUZZ     := $(patsubst tests/fuzz/%.c,%,$(filter-out %/replay.c,$(wildcard tests/fuzz/*.c)))
FUZZ_SRC := $(filter-out tests/%,$(UNIT_SRC))
S ?= 60
.PHONY: fuzz
fuzz: build/fuzz/$(T)
	@test -n '$(T)' || { echo 'make fuzz T=NAME S=SECONDS; NAME: $(FUZZ)'; exit 2; }
	mkdir -p build/corpus/$(T) tests/fuzz/corpus/$(T)
	build/fuzz/$(T) -max_total_time=$(S) -timeout=5 -artifact_prefix=build/fuzz/ \
	        build/corpus/$(T) tests/fuzz/corpus/$(T)
build/fuzz/:
	@mkdir -p $@
build/fuzz/%: tests/fuzz/%.c $(FUZZ_SRC) Makefile $(BEARSSL_HOST) | $(GENERATED)
	@mkdir -p $(@D)
	clang $(LANG_FLAGS) -g -O1 -isystem build/generated \
	        -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all \
	        $< $(FUZZ_SRC) $(BEARSSL_HOST) -o $@
build/asan/fuzz_%: build/asan/tests/fuzz/%.o build/asan/tests/fuzz/replay.o \
                   $(FUZZ_SRC:%.c=build/asan/%.o) $(BEARSSL_HOST)
	gcc $(ASAN) $^ -o $@

# --- tests -----------------------------------------------------------------------------
TESTED := all build/asan/unit build/release/unit build/release/probe_netfilter \
        build/release/probe_filter build/release/probe_notify build/release/probe_inspect \
        $(FUZZ:%=build/asan/fuzz_%)
.PHONY: test tests-built check run bench matrix
tests-built: $(TESTED)
test: deps deps-test
	+$(AGAIN) tests-built
	tests/run
check: deps deps-test deps-lint
	+$(AGAIN) tests-built
	tests/run unit fuzz
	+$(AGAIN) lint-all
run: deps deps-run
	+$(AGAIN) all
	tests/demo/main-job.sh
matrix: deps deps-test deps-engines all
	python3 tests/e2e/test_matrix.py --table

bench: deps deps-bench
	+$(AGAIN) all
	python3 tests/bench/bench.py
.PHONY: bench-locks
bench-locks: deps deps-bench
	+$(AGAIN) all build/release/probe_netfilter
	python3 tests/bench/bench_locks.py

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
LINT_SRC := $(sort $(DECODERS) $(foreach p,$(PROGRAMS),$(SRC_$(p))))
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

# One entry for each source, from the tables above.
build/compile_commands.json: Makefile
	@mkdir -p $(@D)
	@{ sep='['; for f in $(LINT_SRC) $(UNIT) $(wildcard tests/fuzz/*.c); do \
	        printf '%s\n{"directory": "%s", "file": "%s", "arguments": ["gcc"' \
	                "$$sep" '$(CURDIR)' "$$f"; \
	        for a in -std=c11 -D_GNU_SOURCE -I. '-DAIRLOCK_VERSION=\"$(VERSION)\"' \
	                -isystem $(BEARSSL_INC) -isystem build/generated -c "$$f"; do printf ', "%s"' "$$a"; done; \
	        printf ']}'; sep=','; done; printf '\n]\n'; } > $@

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
build/bearssl/libbearssl.a: | build/bearssl/src
	$(MAKE) -s -C build/bearssl/src lib CC=$(MUSL_GCC) CFLAGS='$(BEARSSL_FLAGS)' AR=gcc-ar
	cp build/bearssl/src/build/libbearssl.a $@
# The same for the sanitizers' and the fuzzers' builds: this machine's libc, no LTO.
$(BEARSSL_HOST): | build/bearssl/src
	@mkdir -p $(@D)
	$(MAKE) -s -C build/bearssl/src lib CC=gcc CFLAGS='-std=gnu99 -W -Wall -g -O2 -fPIC' \
	        BUILD=$(CURDIR)/$(@D)

# --- what a fresh Debian machine lacks ----------------------------------------------------
# PACKAGE, or COMMAND:PACKAGE where any version of the command will do.
DEPS       := gcc:gcc libc6-dev linux-libc-dev readelf:binutils musl-tools libjsmn-dev \
        libseccomp-dev git:git
DEPS_TEST  := python3:python3 python3-jsonschema bwrap:bubblewrap mandoc:mandoc age:age \
        strace:strace xz:xz-utils procps util-linux git-lfs:git-lfs \
        /usr/sbin/sshd:openssh-server ssh:openssh-client ip:iproute2 nft:nftables iptables:iptables \
        curl:curl gdb:gdb
DEPS_LINT  := clang:clang clang-tidy:clang-tidy clang-format:clang-format cppcheck:cppcheck \
        libclang-rt-14-dev
DEPS_RUN   := node:nodejs npm:npm
DEPS_BENCH := python3:python3 tini dumb-init catatonit nft:nftables iptables:iptables
DEPS_ENGINES := docker:docker.io podman:podman runc:runc crun:crun ctr:containerd \
        uidmap iptables:iptables
SETS := deps deps-test deps-lint deps-run deps-bench deps-engines
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
	        $(TO)/share/bash-completion/completions $(if $(HELPERS),$(TO)/libexec/airlock)
	install -m 755 build/release/airlock $(TO)/bin/airlock
	$(if $(HELPERS),install -m 755 $(HELPERS:%=build/release/%) $(TO)/libexec/airlock/)
	install -m 644 rootfs/airlock.1 $(TO)/share/man/man1/airlock.1
	install -m 644 rootfs/airlock.bash $(TO)/share/bash-completion/completions/airlock
	install -m 644 rootfs/task.schema.json $(TO)/share/airlock/task.schema.json

-include $(shell find build/release build/asan build/cov build/lint -name '*.d' 2>/dev/null)

.PHONY: clean
clean:
	rm -rf build
