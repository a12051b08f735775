/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The harness of all kselftests, which here gives a test more time: what takes
 * a second may take many on an emulated CPU of a busy machine.
 */
#include "../kselftest_harness.h"

#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT 100
