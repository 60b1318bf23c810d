# Makefile - everything is made, tried and shown from here.
#
#   make              build/dsocr (the engine) and dsocr.so (the extension)
#   make demo         from nothing to the text of scans on the screen; SCAN=file reads your own
#   make check        every test; PG=15 leaves the other servers out
#   make install      into the server of PG_CONFIG, DESTDIR honoured; make installcheck tries it there
#   make test-engine  the engine's tests alone; T="lines tokenizer" picks some
#   make fresh        the README's own lines in a bare Debian (root, debootstrap)
#   make tsan         the server, its children and the engine's threads under ThreadSanitizer (clang)
#   make fuzz         a minute of fuzzing per target (FUZZ_SECONDS=60)
#   make chaos        21,000 documents read under 210 kills; make check does 1,000 under 20
#   make format       applies .clang-format
#
# Switches: BUILD=dir, CC=clang, SAN=1 (address and undefined-behaviour sanitizers), TSAN=1 (threads), PLANT=1 (mistakes can be
# planted, see test/plant.sh). Sources are found by wildcard. The order to read them in:
#
#   src/engine   dsocr status arena backend safetensors model
#                image png jpeg tiff webp  lines views resize  vision patches flow  tokenizer prompt
#                decoder kvcache choose  layout  json
#   src/serve    wire schedule serve sandbox
#   src/pg       module functions client answer results trigger supervisor launcher queue
#
# This file must parse on a machine that has make and nothing else: the PGXS half is pgxs.mk.

SHELL = /bin/bash
.DELETE_ON_ERROR:
.DEFAULT_GOAL := all

ifeq ($(origin CC),default)
CC = gcc
endif
PG_CONFIG ?= pg_config
PG        ?= all
# Sanitizers watch every load of an unrolled kernel: at -O2 clang takes minutes for one file.
CFLAGS    ?= $(if $(FUZZ),-O1,-O2) -g
FUZZ_SECONDS ?= 60

VARIANT := $(if $(SAN),-san)$(if $(TSAN),-tsan)$(if $(PLANT),-plant)$(if $(findstring clang,$(CC)),-clang)
BUILD   ?= build$(VARIANT)

include mk/engine.mk
include mk/test.mk

.PHONY: all pg install uninstall installcheck clean demo check chaos fresh deps format

all: engine pg

# The extension, when there is a server to build it for. Objects of another server's version are made anew.
has_pgxs = test -f "$$($(PG_CONFIG) --pgxs 2>/dev/null)"
PGXS_MAKE = $(MAKE) --no-print-directory -f pgxs.mk PG_CONFIG=$(PG_CONFIG)

pg:
	+@if $(has_pgxs); then \
	  mkdir -p build; $(PG_CONFIG) --version >build/server.new; \
	  cmp -s build/server.new build/server || { $(PGXS_MAKE) -s clean >/dev/null; mv build/server.new build/server; }; \
	  echo "  PGXS  dsocr.so for $$(cat build/server)"; $(PGXS_MAKE) -s all; \
	else echo "no $(PG_CONFIG) with PGXS: dsocr.so is left out (deps/install.sh build brings what it needs)"; fi

install: all
	@$(has_pgxs) || { echo "no $(PG_CONFIG) with PGXS: nothing to install into"; exit 1; }
	+$(PGXS_MAKE) install
	install -D -m 755 $(BUILD)/dsocr "$(DESTDIR)$$($(PG_CONFIG) --bindir)/dsocr"
	install -d "$(DESTDIR)$$($(PG_CONFIG) --sharedir)/dsocr/models/mini"
	install -m 644 model/mini/*.json model/mini/*.safetensors "$(DESTDIR)$$($(PG_CONFIG) --sharedir)/dsocr/models/mini/"

uninstall:
	+$(PGXS_MAKE) uninstall
	rm -f "$(DESTDIR)$$($(PG_CONFIG) --bindir)/dsocr"
	rm -rf "$(DESTDIR)$$($(PG_CONFIG) --sharedir)/dsocr/models/mini"

installcheck:
	+$(PGXS_MAKE) installcheck

clean:
	+@if $(has_pgxs); then $(PGXS_MAKE) -s clean; fi
	rm -rf build build-*

# These two start from a machine that may have nothing: packages first, then a make that sees them.
demo:
	@deps/install.sh run build demo
	@$(MAKE) --no-print-directory -s -j$$(nproc) all
	@demo/demo.sh $(SCAN)

check:
	@deps/install.sh run build test
	@test/run.sh $(PG)

fresh:
	@test/fresh.sh

# The large run under kills; the small one is a part of `check`.
chaos:
	@deps/install.sh run build test
	@STEPS="gcc build15 server" CHAOS_JOBS=21000 CHAOS_KILLS=210 CHAOS_RESTARTS=21 CHAOS_PATIENCE=600 STEP_SECONDS=3600 SHOW='^ok .* [0-9].*' test/run.sh 15

deps:
	@deps/install.sh run build test demo

format:
	clang-format -i $$(git ls-files '*.c' '*.h' '*.cu' '*.cuh')
