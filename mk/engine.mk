# engine.mk - the archive, the command dsocr, the fake engine of the tests, and small tools.

DSOCR_VERSION := $(shell sed -n "s/^default_version = '\(.*\)'/\1/p" dsocr.control)
# Where `make install` puts the models: the command dsocr looks there when no source tree is around it.
DSOCR_MODELS_DIR := $(shell $(PG_CONFIG) --sharedir 2>/dev/null || echo /usr/share)/dsocr/models
# The last: libseccomp's macros leave fields to be zero.
WARN = -Wall -Wextra -Werror -Wno-missing-field-initializers
INCLUDES = -Isrc -Isrc/engine -Isrc/serve
# Contraction stays off everywhere: a fused multiply-add is written where it is meant, as an intrinsic.
DS_CFLAGS = -std=gnu11 $(CFLAGS) $(WARN) -D_GNU_SOURCE -fvisibility=hidden -fPIE -ffp-contract=off \
            $(INCLUDES) $(VARIANT_CFLAGS) \
            -DDSOCR_VERSION='"$(DSOCR_VERSION)"' -DDSOCR_MODELS_DIR='"$(DSOCR_MODELS_DIR)"'
DS_LDFLAGS = -pie -Wl,-z,relro,-z,now $(VARIANT_LDFLAGS) $(LDFLAGS)
DS_LIBS = -ljansson -lpcre2-8 -lpng -ljpeg -ltiff -lwebp -lseccomp -lz -lm -lpthread

ifdef SAN
VARIANT_CFLAGS += -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
VARIANT_LDFLAGS += -fsanitize=address,undefined
else
VARIANT_CFLAGS += -D_FORTIFY_SOURCE=2 -fstack-protector-strong
endif
ifdef TSAN
VARIANT_CFLAGS += -fsanitize=thread -D__SANITIZE_THREAD__=1 # which clang does not say
VARIANT_LDFLAGS += -fsanitize=thread
endif
ifdef PLANT
VARIANT_CFLAGS += -DDS_PLANT
endif
ifdef FUZZ
VARIANT_CFLAGS += -fsanitize=fuzzer-no-link
endif

# Fuzzers feed no kernel, whose sanitizers take clang minutes; make check's sanitizer step (gcc) has them.
unfuzzed = $(if $(FUZZ),$(if $(findstring /kernels_,$<),-fno-sanitize=all))

# A file's name says which instructions it may use; no other file gets them.
isa = $(if $(filter %_shani.c,$<),-msse4.1 -mssse3 -msha) \
      $(if $(filter %_avx2.c,$<),-mavx2 -mfma) \
      $(if $(filter %_avxvnni.c,$<),-mavx2 -mfma -mavxvnni) \
      $(if $(filter %_avx512.c,$<),-mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx512vnni -mfma) \
      $(if $(filter %_amx.c,$<),-mavx512f -mavx512bw -mavx512vl -mavx512bf16 -mamx-tile -mamx-bf16)

objects = $(patsubst src/%.c,$(BUILD)/%.o,$(wildcard $(addsuffix /*.c,$(1))))
ENGINE_O = $(call objects,src/engine src/engine/cpu)
SERVE_O  = $(call objects,src/serve)
CLI_O    = $(call objects,src/cli)
TOOLS    = $(patsubst src/tools/%.c,$(BUILD)/%,$(wildcard src/tools/*.c))
FAKE     = $(if $(wildcard test/fake/*.c),$(BUILD)/dsocr-fake)
DSOCR    = $(if $(CLI_O),$(BUILD)/dsocr)

ENGINE_A = $(BUILD)/libengine.a
SERVE_A  = $(BUILD)/libserve.a
ARCHIVES = $(ENGINE_A) $(SERVE_A)
link     = $(CC) $(DS_LDFLAGS) -o $@ $(filter %.o,$^) -Wl,--start-group $(filter %.a,$^) -Wl,--end-group $(DS_LIBS)
compile  = @mkdir -p $(@D); $(CC) $(DS_CFLAGS) $(unfuzzed) $(isa) -MMD -MP -c -o $@ $<

.PHONY: engine tools
engine: $(ENGINE_A) $(DSOCR)
tools: $(TOOLS) $(FAKE)

# Another server's folder makes the one file that has it in it anew.
$(BUILD)/models_dir: FORCE
	@mkdir -p $(@D); echo '$(DSOCR_MODELS_DIR)' | cmp -s - $@ || echo '$(DSOCR_MODELS_DIR)' >$@
FORCE:
$(BUILD)/cli/common.o: $(BUILD)/models_dir

$(BUILD)/%.o: src/%.c Makefile mk/engine.mk
	@echo "  CC    $<"
	$(compile)

$(BUILD)/test/%.o: test/%.c Makefile mk/engine.mk
	@echo "  CC    $<"
	@mkdir -p $(@D); $(CC) $(DS_CFLAGS) -Itest/engine -MMD -MP -c -o $@ $<

$(ENGINE_A): $(ENGINE_O)
$(SERVE_A): $(SERVE_O)
$(ARCHIVES):
	@echo "  AR    $@"
	@mkdir -p $(@D); rm -f $@; ar rcs $@ $(filter %.o,$^)

$(BUILD)/dsocr: $(CLI_O) $(ARCHIVES)
	@echo "  LINK  $@"
	@$(link)

$(BUILD)/dsocr-fake: $(patsubst %.c,$(BUILD)/%.o,$(wildcard test/fake/*.c)) $(SERVE_A) $(ENGINE_A)
	@echo "  LINK  $@"
	@$(link)

$(TOOLS): $(BUILD)/%: $(BUILD)/tools/%.o $(ARCHIVES)
	@echo "  LINK  $@"
	@$(link)

-include $(wildcard $(BUILD)/*/*.d $(BUILD)/*/*/*.d)
