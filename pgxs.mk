# pgxs.mk - the extension, by PostgreSQL's own rules. The Makefile calls this when the server of PG_CONFIG has them.
#
# The engine is not in dsocr.so and not made here: it is an executable of its own. Of the engine's side only the
# wire's checks are linked in.

MODULE_big = dsocr
OBJS = $(patsubst %.c,%.o,$(wildcard src/pg/*.c)) src/serve/wire.o
EXTENSION = dsocr

# The version number is in dsocr.control and nowhere else; the script is copied to the versioned name.
DSOCR_VERSION := $(shell sed -n "s/^default_version = '\(.*\)'/\1/p" dsocr.control)
DATA_built = sql/dsocr--$(DSOCR_VERSION).sql
DATA = $(wildcard sql/dsocr--*--*.sql)

# A regression test is a file of sql/ without "--"; dsocr.sql is the extension itself. They need a running engine, so
# a server with dsocr in shared_preload_libraries.
TESTS = $(filter-out sql/dsocr.sql,$(filter-out $(wildcard sql/*--*.sql),$(wildcard sql/*.sql)))
REGRESS = $(patsubst sql/%.sql,%,$(TESTS))

PG_CPPFLAGS = -Isrc -DDSOCR_VERSION='"$(DSOCR_VERSION)"'
ifdef PLANT
PG_CPPFLAGS += -DDS_PLANT
endif
PG_CFLAGS = -std=gnu11 -Wall -Wextra -Werror -Wno-unused-parameter -Wno-sign-compare -Wno-declaration-after-statement \
            -Wno-missing-field-initializers
SHLIB_LINK += -Wl,--version-script=dsocr.map
EXTRA_CLEAN = sql/dsocr--$(DSOCR_VERSION).sql

# No LLVM bitcode: nothing here is worth inlining into a query, and clang of one exact version would be needed.
override with_llvm = no

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

sql/dsocr--$(DSOCR_VERSION).sql: sql/dsocr.sql dsocr.control
	cp $< $@

$(OBJS): dsocr.control pgxs.mk $(wildcard src/pg/*.h) src/serve/wire.h
