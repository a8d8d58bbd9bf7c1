# One file, no configure, no recursion. `make help` lists what there is.
#
# Everything lies in build/VARIANT/, the variants being
#   release  what is installed: optimised and hardened
#   asan     the address and undefined behaviour sanitizers, leaks included
#   fuzz     the same with clang and libFuzzer
# What a variant is compiled with is kept in build/VARIANT/flags: other flags, new objects.

# Of the release to come; etc/package-version has how packages between two are called.
VERSION := 0.2.0

PREFIX ?= /usr/local
sysconfdir ?= $(PREFIX)/etc
docdir ?= $(PREFIX)/share/doc/waybill
mandir ?= $(PREFIX)/share/man
completionsdir ?= $(PREFIX)/share/bash-completion/completions
unitdir ?= $(PREFIX)/lib/systemd/system
sysusersdir ?= $(PREFIX)/lib/sysusers.d
tmpfilesdir ?= $(PREFIX)/lib/tmpfiles.d

ifeq ($(origin CC),default)
CC := gcc
endif
CLANG ?= clang
WERROR ?= -Werror
CFLAGS ?= -O2 -g -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2
FUZZ_TIME ?= 60
SOAK_TIME ?= 600
VARIANT ?= release

# The variables that run a program (PKG_…) do so where a recipe first uses them, which is
# after `deps` has installed it.
PKGS := libevent_core libevent_extra libevent_openssl libcurl libcares lmdb libssl libcrypto \
	libcjson liburiparser libxxhash liblz4 libidn2 libsystemd zlib yaml-0.1
PKG_CFLAGS = $(eval PKG_CFLAGS := $$(shell pkg-config --cflags $(PKGS)))$(PKG_CFLAGS)
PKG_LIBS = $(eval PKG_LIBS := $$(shell pkg-config --libs $(PKGS)))$(or $(PKG_LIBS),\
	$(error a library is missing: etc/install-deps build installs them))

WARNINGS := -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
	-Wformat=2 -Wvla -Wpointer-arith -Wcast-qual -Wwrite-strings -Wundef \
	-Wnull-dereference
# A library newer than those of Debian 12 may advise against what is there alone: still a warning.
WARNINGS += -Wno-error=deprecated-declarations
SANITIZE := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined \
	-fno-sanitize-recover=all

FLAGS = -std=c17 -D_GNU_SOURCE -Isrc -DWAYBILL_VERSION=\"$(VERSION)\" $(PKG_CFLAGS) \
	$(WARNINGS) $(WERROR) -fstack-protector-strong -fPIE
CC_release = $(CC) $(FLAGS) $(CPPFLAGS) $(CFLAGS)
CC_asan = $(CC) $(FLAGS) $(SANITIZE)
CC_fuzz = $(CLANG) $(FLAGS) $(SANITIZE) -fsanitize=fuzzer-no-link

LINK_FLAGS = -pie -Wl,-z,relro,-z,now,--as-needed
LINK_release = $(CC) $(CFLAGS) $(LINK_FLAGS) $(LDFLAGS)
LINK_asan = $(CC) $(SANITIZE) $(LINK_FLAGS)
LINK_fuzz = $(CLANG) $(SANITIZE) $(LINK_FLAGS)
LIBS = $(PKG_LIBS) -lm

LIB_SRC := $(wildcard src/*/*.c)
UNITS := $(patsubst tests/unit/%.c,%,$(wildcard tests/unit/test_*.c))
DRIVERS := $(patsubst tests/unit/%.c,%,$(wildcard tests/unit/*_main.c))
HELPERS := $(filter-out $(UNITS) $(DRIVERS),$(patsubst tests/unit/%.c,%,$(wildcard tests/unit/*.c)))
# Files that are compiled in (base/embedded.h): NAME=FILE.
EMBED := $(foreach f,$(sort $(wildcard src/ui/*)),ui/$(notdir $f)=$f) openapi.yaml=docs/openapi.yaml \
	presets.json=src/domain/presets.json
FUZZERS := $(patsubst tests/fuzz/%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
BENCHES := $(patsubst bench/%.c,build/bench/%,$(wildcard bench/*.c)) \
	$(patsubst bench/preload/%.c,build/bench/%.so,$(wildcard bench/preload/*.c))
BENCH_LIB := $(patsubst %.c,build/release/%.o,$(wildcard bench/lib/*.c))

BIN_release := build/waybill
BIN_asan := build/asan/waybill

ifeq ($(filter -j% --jobs%,$(MAKEFLAGS)),)
MAKEFLAGS += -j$(shell nproc)
endif
MAKEFLAGS += --no-builtin-rules
.DELETE_ON_ERROR:
Q := $(if $(V),,@)

all: build/waybill ## build build/waybill; V=1 shows the commands (the default)

# The groups of packages (etc/install-deps) that targets need, which install what is missing of
# them: tests/e2e/test_dependencies.py holds each to its group. DEPS= installs nothing.
NEED_build := run man install
NEED_package := deb
NEED_lint := lint tidy format
NEED_test := test asan test-unit test-corpus test-json test-e2e test-field siege cluster crash-states \
	faults fuzz soak first-hour screenshots clients
NEED_bench := bench bench-full bench-instructions bench-programs
NEED_clients := clients
NEED_fresh := fresh
GROUPS := build package lint test bench clients fresh
DEPS := $(strip $(foreach g,$(GROUPS),$(if $(filter $(NEED_$g),$(MAKECMDGOALS)),$g)))
# It comes before the first flags file, and so before all that is compiled.
$(if $(DEPS),$(foreach g,$(GROUPS),$(NEED_$g)): deps)
# What is not Debian's, and one test's alone: where it cannot be had, that test fails and says so.
deps:
	@etc/install-deps $(DEPS)
	@$(if $(filter test,$(DEPS)),etc/install-nats-server >/dev/null || true)
	@$(if $(filter test,$(DEPS)),etc/install-kubernetes-schemas >/dev/null || true)

# $(call keep,TEXT) writes TEXT to the target, unless it is there already.
keep = $(shell mkdir -p $(@D))$(file >$@.new,$(1))@cmp -s $@.new $@ && rm $@.new || mv $@.new $@

# $(call say,WHAT) announces a target briefly, where V=1 does not show it in full.
say = $(if $(V),,@printf '  %-5s %s\n' $(1) $@)

define VARIANT_RULES
OBJ_$(1) := $(LIB_SRC:%.c=build/$(1)/%.o) build/$(1)/embedded.o
UNIT_$(1) := $(UNITS:%=build/$(1)/tests/%)
DRIVER_$(1) := $(DRIVERS:%=build/$(1)/tests/%)
FUZZ_$(1) := $(FUZZERS:%=build/$(1)/tests/%)

build/$(1)/flags: FORCE $(if $(DEPS),deps)
	$$(call keep,$$(CC_$(1)) / $$(LINK_$(1)) $$(LIBS))

build/$(1)/objects: FORCE
	$$(call keep,$$(OBJ_$(1)))

build/$(1)/%.o: %.c build/$(1)/flags
	@mkdir -p $$(@D)
	$$(call say,CC)
	$$(Q)$$(CC_$(1)) -MMD -MP -c -o $$@ $$<

build/$(1)/embed: FORCE
	$$(call keep,$(EMBED))

build/$(1)/embedded.c: etc/embed build/$(1)/embed $$(foreach e,$(EMBED),$$(lastword $$(subst =, ,$$e)))
	$$(call say,EMBED)
	$$(Q)etc/embed $(EMBED) >$$@

build/$(1)/embedded.o: build/$(1)/embedded.c build/$(1)/flags
	$$(call say,CC)
	$$(Q)$$(CC_$(1)) -MMD -MP -c -o $$@ $$<

build/$(1)/libwaybill.a: $$(OBJ_$(1)) build/$(1)/objects
	$$(call say,AR)
	$$(Q)rm -f $$@ && $$(AR) rcs $$@ $$(OBJ_$(1))

# An archive: a test that puts something in place of a part takes no helper that needs the part.
build/$(1)/tests/helpers.a: $$(HELPERS:%=build/$(1)/tests/unit/%.o)
	$$(call say,AR)
	$$(Q)rm -f $$@ && $$(AR) rcs $$@ $$^

$$(UNIT_$(1)) $$(DRIVER_$(1)): build/$(1)/tests/%: build/$(1)/tests/unit/%.o \
		build/$(1)/tests/helpers.a build/$(1)/libwaybill.a
	$$(call say,LINK)
	$$(Q)$$(LINK_$(1)) -o $$@ $$^ $$(LIBS) -lcmocka

$$(FUZZ_$(1)): build/$(1)/tests/%: build/$(1)/tests/fuzz/%.o $(2) build/$(1)/libwaybill.a
	$$(call say,LINK)
	$$(Q)$$(LINK_$(1)) $(3) -o $$@ $$^ $$(LIBS)

-include $$(OBJ_$(1):.o=.d) $$(UNITS:%=build/$(1)/tests/unit/%.d) \
	$$(DRIVERS:%=build/$(1)/tests/unit/%.d) $$(FUZZERS:%=build/$(1)/tests/fuzz/%.d) \
	$$(HELPERS:%=build/$(1)/tests/unit/%.d) build/$(1)/tests/fuzz/main.d \
	build/$(1)/src/main.d
endef

# The variant, what runs its fuzz harnesses, and the flags to link that.
$(eval $(call VARIANT_RULES,release,build/release/tests/fuzz/main.o))
$(eval $(call VARIANT_RULES,asan,build/asan/tests/fuzz/main.o))
$(eval $(call VARIANT_RULES,fuzz,,-fsanitize=fuzzer))
-include $(patsubst build/bench/%,build/release/bench/%.d,$(filter-out %.so,$(BENCHES))) $(BENCH_LIB:.o=.d)

build/waybill: build/release/src/main.o build/release/libwaybill.a
	$(call say,LINK)
	$(Q)$(LINK_release) -o $@ $^ $(LIBS)

build/asan/waybill: build/asan/src/main.o build/asan/libwaybill.a
	$(call say,LINK)
	$(Q)$(LINK_asan) -o $@ $^ $(LIBS)

$(filter-out %.so,$(BENCHES)): build/bench/%: build/release/bench/%.o $(BENCH_LIB) build/release/libwaybill.a
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(LINK_release) -o $@ $^ $(LIBS) -lssl

build/bench/%.so: bench/preload/%.c build/release/flags
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC_release) -fPIC -shared -o $@ $<

run: build/waybill ## install what is missing, build, and serve on 127.0.0.1:8080
	@exec etc/run-dev

# All that the tests of a variant need; and their parts, in the order of what they cost.
ALL_TESTS = $(BIN_$(1)) $(UNIT_$(1)) $(DRIVER_$(1)) $(FUZZ_$(1))
define RUN_TESTS
@tests/run $(1) unit $(UNIT_$(1))
@tests/run $(1) corpus $(FUZZ_$(1))
@tests/run $(1) json
@tests/run $(1) e2e
@tests/run $(1) field
@tests/run $(1) siege
@tests/run $(1) cluster
endef

test: $(call ALL_TESTS,release) $(BENCHES) ## install what is missing, build, check everything
	$(LINT_FUZZ)
	@tests/lint/all.sh
	$(call RUN_TESTS,release)
	@echo 'waybill: all tests passed'

asan: $(call ALL_TESTS,asan) ## the same tests under the sanitizers
	$(call RUN_TESTS,asan)
	@echo 'waybill: all tests passed under the sanitizers'

# One part; VARIANT=asan takes it under the sanitizers.
test-unit: $(UNIT_$(VARIANT)) ## the unit tests, or one: T=retry
	@tests/run $(VARIANT) unit $(filter $(if $(T),%/test_$(T),build/%),$^)

test-corpus: $(FUZZ_$(VARIANT)) ## the fuzz harnesses over their corpora, or one: T=json
	@tests/run $(VARIANT) corpus $(filter $(if $(T),%/fuzz_$(T),build/%),$^)

test-json: $(DRIVER_$(VARIANT)) ## canonical JSON compared with Node.js
	@tests/run $(VARIANT) json

test-e2e: $(BIN_$(VARIANT)) $(DRIVER_$(VARIANT)) $(BENCHES) ## the end-to-end tests, or some: K=circuit
	@tests/run $(VARIANT) e2e '$(K)'

test-field: $(BIN_$(VARIANT)) build/bench/sync_delay.so ## what was reported from the field, by kind; or some: K=addresses
	@tests/run $(VARIANT) field '$(K)'

siege: $(BIN_$(VARIANT)) ## everything that is shared, attacked, beside those who are healthy; or some: K=bodies
	@WAYBILL_SIEGE=full tests/run $(VARIANT) siege '$(K)'

cluster: $(BIN_$(VARIANT)) build/bench/sync_delay.so ## three hosts that die, are cut off, come back; or some: K=power
	@WAYBILL_CLUSTER=full tests/run $(VARIANT) cluster '$(K)'

clients: $(BIN_$(VARIANT)) ## clients that generators make of docs/openapi.yaml, used; Schemathesis; or some: K=go
	@etc/install-clients
	@tests/run $(VARIANT) clients '$(K)'

crash-states: $(BIN_$(VARIANT)) $(DRIVER_$(VARIANT)) ## what a loss of power can leave; ROUNDS=1
	@WAYBILL_CRASH_ROUNDS=$(or $(ROUNDS),1) tests/run $(VARIANT) e2e power_loss

faults: $(BIN_$(VARIANT)) $(DRIVER_$(VARIANT)) ## the disk fails at each call; ROUNDS=10 of crash-states
	@WAYBILL_FAULTS=all WAYBILL_CRASH_ROUNDS=$(or $(ROUNDS),10) \
		tests/run $(VARIANT) e2e 'power_loss or disk_faults or full_disk'

fresh: ## do what README.md says on fresh Debian 12, 13, Ubuntu 24.04; D=bookworm T=run U=root, hours without
	@D='$(D)' T='$(T)' U='$(U)' FROM='$(FROM)' tests/fresh/run

fuzz: $(if $(T),build/fuzz/tests/fuzz_$(T),$(FUZZ_fuzz)) ## fuzz each parser for FUZZ_TIME=60 s, or one: T=json
	@tests/run fuzz fuzz $(FUZZ_TIME) $^

soak: build/asan/waybill ## load, failing receivers and kills for SOAK_TIME=600 s under the sanitizers
	@PYTHONDONTWRITEBYTECODE=1 WAYBILL=$< SOAK_TIME=$(SOAK_TIME) SOAK_SEED=$(SOAK_SEED) \
		/usr/bin/python3 tests/soak/soak.py

bench: build/waybill $(BENCHES) ## measure, and write docs/benchmarks.md, in under 5 minutes
	@bench/run.py

bench-full: build/waybill $(BENCHES) ## the same with all scenarios, about 45 minutes
	@bench/run.py --full

bench-instructions: build/waybill $(BENCHES) ## instructions an event; what changed since the last; the files that one enters
	@bench/instructions.py
	@docs/entered.py

bench-rival: ## install what the comparison with BullMQ needs, in build/bench/bullmq
	@bench/bullmq/install

bench-programs: $(BENCHES) ## build the programs that measure, build/bench/*

first-hour: deb ## do what docs/first-hour.md says, as root, and make its pictures anew
	@PYTHONDONTWRITEBYTECODE=1 docs/first_hour.py

screenshots: build/waybill ## make docs/screenshots/*.png anew, about 4 minutes
	@PYTHONDONTWRITEBYTECODE=1 docs/screenshots.py

# All else that is tested is compiled by gcc: so a harness that clang refuses is seen at once.
LINT_FUZZ = @! command -v $(CLANG) >/dev/null || \
	$(CLANG) $(FLAGS) -Werror -fsyntax-only tests/fuzz/*.c

lint: ## check format, layers, sizes, banned calls; cppcheck, shellcheck
	$(LINT_FUZZ)
	@tests/lint/all.sh

tidy: $(LIB_SRC:src/%.c=build/tidy/%.ok) ## clang-tidy over src, about a minute the first time
build/tidy/%.ok: src/%.c build/release/src/%.o .clang-tidy
	@mkdir -p $(@D)
	$(call say,TIDY)
	$(Q)clang-tidy --quiet $< -- $(FLAGS) 2>$@.log || { cat $@.log; false; }
	@touch $@

format: ## rewrite all C as .clang-format says
	clang-format -i $(wildcard src/*.[ch] src/*/*.[ch] tests/*/*.[ch] bench/*.[ch] bench/*/*.[ch])

PAGES := build/man/waybill.1 build/man/waybill.conf.5
man: $(PAGES) ## write the manual pages, build/man/*
$(PAGES): build/man/%: build/waybill etc/man/generate $(wildcard etc/man/*.scd) etc/waybill.conf
	@mkdir -p $(@D)
	$(call say,MAN)
	$(Q)etc/man/generate $< $* >$@

# What tells about it, in one folder.
DOCS := README.md COPYING $(wildcard docs/*.md docs/*.yaml)
# Its folders there: receivers to begin with; what goes in front and what watches.
RECEIVERS := $(wildcard docs/receivers/*)
EXAMPLES := $(wildcard etc/prometheus-rules.yml etc/grafana-dashboard.json etc/nginx/*.conf \
	etc/haproxy/*.cfg etc/nats/*.conf etc/container/*)
# A unit or a list of files, with the places that it is installed for.
place = sed 's|/usr/bin/waybill|$(PREFIX)/bin/waybill|; s|/etc/waybill|$(sysconfdir)/waybill|g'

install: build/waybill man ## install to PREFIX (/usr/local), below DESTDIR
	install -d $(addprefix $(DESTDIR),$(PREFIX)/bin $(sysconfdir)/waybill $(docdir) \
		$(mandir)/man1 $(mandir)/man5 $(completionsdir) $(unitdir) $(sysusersdir) $(tmpfilesdir))
	install -m 755 build/waybill $(DESTDIR)$(PREFIX)/bin/waybill
	install -m 644 $(DOCS) $(DESTDIR)$(docdir)
	install -m 644 -D -t $(DESTDIR)$(docdir)/receivers $(RECEIVERS)
	$(foreach file,$(EXAMPLES),install -m 644 -D $(file) \
		$(DESTDIR)$(docdir)/examples/$(file:etc/%=%) &&) true
	install -m 644 build/man/waybill.1 $(DESTDIR)$(mandir)/man1
	install -m 644 build/man/waybill.conf.5 $(DESTDIR)$(mandir)/man5
	install -m 644 etc/waybill.bash-completion $(DESTDIR)$(completionsdir)/waybill
	install -m 644 etc/waybill.sysusers $(DESTDIR)$(sysusersdir)/waybill.conf
	$(place) etc/waybill.tmpfiles >$(DESTDIR)$(tmpfilesdir)/waybill.conf
	$(place) etc/waybill.service >$(DESTDIR)$(unitdir)/waybill.service
	$(place) etc/waybill.socket >$(DESTDIR)$(unitdir)/waybill.socket
	chmod 644 $(addprefix $(DESTDIR),$(tmpfilesdir)/waybill.conf $(unitdir)/waybill.service \
		$(unitdir)/waybill.socket)
	@# An installed configuration may have been edited: it stays.
	test -e $(DESTDIR)$(sysconfdir)/waybill/waybill.conf || \
		install -m 644 etc/waybill.conf $(DESTDIR)$(sysconfdir)/waybill/waybill.conf

uninstall: ## remove what install put there, but a configuration that was edited
	rm -f $(addprefix $(DESTDIR),$(PREFIX)/bin/waybill $(mandir)/man1/waybill.1 \
		$(mandir)/man5/waybill.conf.5 $(completionsdir)/waybill $(sysusersdir)/waybill.conf \
		$(tmpfilesdir)/waybill.conf $(unitdir)/waybill.service $(unitdir)/waybill.socket)
	rm -f $(addprefix $(DESTDIR)$(docdir)/,$(notdir $(DOCS)))
	rm -rf $(DESTDIR)$(docdir)/receivers $(DESTDIR)$(docdir)/examples
	! cmp -s etc/waybill.conf $(DESTDIR)$(sysconfdir)/waybill/waybill.conf || \
		rm $(DESTDIR)$(sysconfdir)/waybill/waybill.conf
	rmdir $(DESTDIR)$(docdir) $(DESTDIR)$(sysconfdir)/waybill 2>/dev/null || true

# The tree that the package is built from has the packaging where dpkg looks for it.
deb: build/deb/built ## build the Debian package, build/deb/waybill_*.deb
build/package-version: FORCE
	$(call keep,$(shell etc/package-version $(VERSION)))
build/deb/built: build/package-version Makefile README.md COPYING $(shell find src etc docs -type f) | $(if $(DEPS),deps)
	rm -rf build/deb && mkdir -p build/deb/waybill
	cp -a Makefile README.md COPYING src etc docs build/deb/waybill
	mv build/deb/waybill/etc/debian build/deb/waybill/debian
	etc/debian/changelog "$$(cat build/package-version)" >build/deb/waybill/debian/changelog
	cd build/deb/waybill && MAKEFLAGS= dpkg-buildpackage --build=binary --no-sign >../log 2>&1 || \
		{ cat ../log; false; }
	touch $@

clean: ## remove build
	rm -rf build

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "make %-18s %s\n", $$1, $$2 }' Makefile

FORCE:
.PHONY: FORCE all deps run test asan test-unit test-corpus test-json test-e2e test-field siege clients \
	crash-states faults fuzz soak bench bench-full bench-instructions bench-rival bench-programs lint tidy \
	format man install uninstall deb clean help screenshots first-hour cluster fresh
