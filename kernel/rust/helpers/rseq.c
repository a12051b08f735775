// SPDX-License-Identifier: GPL-2.0

#include <linux/rseq.h>

__rust_helper void rust_helper_rseq_abort_interrupted(void)
{
	rseq_abort_interrupted();
}
