# SPDX-License-Identifier: GPL-2.0-only
# The front door. Everything is done by the scripts in ci/, in a cache outside of this directory.

# ARCH=NAME       architecture of ci/arch/ (x86_64); for the test one or several
# BOOT=NAME       which of the ways to boot it, where there are several (its first)
# KDIR=DIRECTORY  your own Linux source, which is not changed; else one is downloaded
# NATIVE=no       make bench without the times that the crate takes on this machine
# KERNEL=7.3      another release to put the series onto, where it applies
# SECONDS=60      how long make torture has each test go on
# DIR=DIRECTORY   where make branch makes a git tree, and make import finds it
# CASES=NAME      what make stops stops: own, idle, busy, offline, sequences; one or several (all)
# FAULTS=NAME     which of ci/faults make faults is to try; one or several (all)
export ARCH BOOT KDIR NATIVE KERNEL

# what each change is tested on
TESTED = x86_64 arm arm-lpae powerpc x86_64-kasan

.PHONY: help run test test-all torture stops faults coverage bench status boot kernel image patches branch import lint bisectable clean
.NOTPARALLEL:

help: ## this list
	@sed -nE 's/^([a-z-]+):.*## (.*)/make \1	\2/p' $(MAKEFILE_LIST) | expand -t 18
	@echo; sed -nE 's/^# ([A-Z]+=)/  \1/p' $(MAKEFILE_LIST)

run: ## boot the patched kernel in QEMU and run a demonstration in it
	@ci/commands/run

test: ## check everything: series, crates, the model, the rig, selftests in the booted kernel (5 kernels)
	@ARCH= ci/commands/test series style crates model $(or $(ARCH),$(TESTED)) stock rig

test-all: ## the same on all architectures
	@ARCH= ci/commands/test series style crates model all stock rig

torture: ## the tests that leave something to chance, each for SECONDS=60, on ARCH=x86_64
	@ARCH= ci/commands/torture '$(or $(SECONDS),60)' $(or $(ARCH),x86_64)

stops: ## stop calls at each instruction, do there what another CPU could do, and look what comes of it
	@ci/commands/stops $(CASES)

faults: ## break the kernel in each way of ci/faults, and see that a test fails (hours)
	@ARCH= ci/commands/faults $(FAULTS)

coverage: ## which lines of the kernel's part the tests run, on ARCH=x86_64
	@ci/commands/coverage

bench: ## count what calls cost, in instructions, and write docs/bench.md
	@ci/commands/bench

status: ## write the table of what works where, as tested, into README.md
	@ARCH= ci/report/status

boot: ## a shell in the patched kernel (through virtme-ng if it is installed)
	@ci/commands/boot

kernel: ## build the patched kernel
	@ci/commands/image >/dev/null

image: ## the same, and print the path of its image (with make -s: nothing else)
	@ci/commands/image

patches: ## write the series in patches/ from the sources
	@ci/commands/patches

branch: ## a git tree of Linux with the series as commits, in DIR, to edit them
	@ci/series/branch '$(DIR)'

import: ## take what was changed in DIR back into kernel/, selftests/ and arch-wiring/
	@ci/series/import '$(DIR)'

lint: ## the quick part of the test: series, formatting, lints
	@ARCH= ci/commands/test series style

bisectable: ## build each commit of the series, with CONFIG_CPU_OPV on and off (long)
	@ci/commands/bisectable

clean: ## remove what was built; downloads stay
	@ci/commands/clean
