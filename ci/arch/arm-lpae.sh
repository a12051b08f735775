# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# 32-bit ARM v7 with page tables of three levels (LPAE), else as arm

# shellcheck source=arm.sh
. "$CI/arch/arm.sh"
configs=(arm arm-lpae)
