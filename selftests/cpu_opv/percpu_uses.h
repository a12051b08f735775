/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Data structures of one CPU each, on percpu_op.h. A thread can use those of
 * any CPU, by number.
 *
 * All return what percpu_op.h does: 0 if done, 1 if there is nothing to take
 * or no place, -errno. Items are intptr_t.
 */
#ifndef PERCPU_USES_H
#define PERCPU_USES_H

#include "percpu_op.h"

#define PERCPU_ITEMS	64	/* places in each structure that has places */
#define PERCPU_RECORD	125	/* words: across the borders of pages */

static inline intptr_t percpu_read(intptr_t *v)
{
	return __atomic_load_n(v, __ATOMIC_ACQUIRE);
}

/* Lock: 0, or who holds it. */

static inline int percpu_lock(intptr_t *lock, intptr_t owner, int cpu)
{
	int ret;

	while ((ret = percpu_cmpeqv_storev(CPU_OP_MO_RELAXED, lock, 0, owner,
					   cpu)) > 0)
		sched_yield();
	/* Pairs with the store of percpu_unlock(). */
	atomic_thread_fence(memory_order_acquire);
	return ret;
}

/* While it is held nobody else writes to it: a store will do. */
static inline void percpu_unlock(intptr_t *lock)
{
	__atomic_store_n(lock, 0, __ATOMIC_RELEASE);
}

/* List, last in, first out. A node belongs to who popped it. */

struct percpu_list {
	intptr_t head;
};

struct percpu_node {
	intptr_t item;
	intptr_t next;
};

static inline int percpu_list_push(enum cpu_op_mo mo, struct percpu_list *list,
				   struct percpu_node *node, int cpu)
{
	int ret;

	do {
		node->next = percpu_read(&list->head);
		RSEQ_INJECT_C(8)
		ret = percpu_cmpeqv_storev(mo, &list->head, node->next,
					   (intptr_t)node, cpu);
	} while (ret > 0);
	return ret;
}

static inline int percpu_list_pop(enum cpu_op_mo mo, struct percpu_list *list,
				  struct percpu_node **node, int cpu)
{
	intptr_t head;
	int ret;

	ret = percpu_cmpnev_storeoffp_load(mo, &list->head, 0,
					   offsetof(struct percpu_node, next),
					   &head, cpu);
	if (!ret)
		*node = (struct percpu_node *)head;
	return ret;
}

/* Buffer of items, last in, first out. */

struct percpu_buffer {
	intptr_t nr;
	intptr_t item[PERCPU_ITEMS];
};

static inline int percpu_buffer_push(enum cpu_op_mo mo, struct percpu_buffer *b,
				     intptr_t item, int cpu)
{
	intptr_t nr;
	int ret;

	do {
		nr = percpu_read(&b->nr);
		if (nr == PERCPU_ITEMS)
			return 1;
		RSEQ_INJECT_C(8)
		ret = percpu_cmpeqv_storev_storev(mo, &b->nr, nr, &b->item[nr],
						  item, nr + 1, cpu);
	} while (ret > 0);
	return ret;
}

/* The second comparison finds that the item became another meanwhile. */
static inline int percpu_buffer_pop(enum cpu_op_mo mo, struct percpu_buffer *b,
				    intptr_t *item, int cpu)
{
	intptr_t nr;
	int ret;

	do {
		nr = percpu_read(&b->nr);
		if (!nr)
			return 1;
		*item = percpu_read(&b->item[nr - 1]);
		RSEQ_INJECT_C(8)
		ret = percpu_cmpeqv_cmpeqv_storev(mo, &b->nr, nr,
						  &b->item[nr - 1], *item,
						  nr - 1, cpu);
	} while (ret > 0);
	return ret;
}

/* Buffer of records that are copied in and out, last in, first out. */

struct percpu_record {
	intptr_t word[PERCPU_RECORD];
};

struct percpu_records {
	intptr_t nr;
	struct percpu_record record[PERCPU_ITEMS];
};

static inline int percpu_records_push(enum cpu_op_mo mo,
				      struct percpu_records *r,
				      struct percpu_record *record, int cpu)
{
	intptr_t nr;
	int ret;

	do {
		nr = percpu_read(&r->nr);
		if (nr == PERCPU_ITEMS)
			return 1;
		RSEQ_INJECT_C(8)
		ret = percpu_cmpeqv_memcpy_storev(mo, &r->nr, nr,
						  &r->record[nr], record,
						  sizeof(*record), nr + 1, cpu);
	} while (ret > 0);
	return ret;
}

static inline int percpu_records_pop(enum cpu_op_mo mo,
				     struct percpu_records *r,
				     struct percpu_record *record, int cpu)
{
	intptr_t nr;
	int ret;

	do {
		nr = percpu_read(&r->nr);
		if (!nr)
			return 1;
		RSEQ_INJECT_C(8)
		ret = percpu_cmpeqv_memcpy_storev(mo, &r->nr, nr, record,
						  &r->record[nr - 1],
						  sizeof(*record), nr - 1, cpu);
	} while (ret > 0);
	return ret;
}

/*
 * Ring, first in, first out. All three only grow. Who has reserved a place
 * commits on the same CPU, even if it does not run there any more; the order
 * of commits is left open, so places can be read when all have committed.
 */

struct percpu_ring {
	intptr_t reserved;
	intptr_t committed;
	intptr_t consumed;
	intptr_t item[PERCPU_ITEMS];
};

static inline int percpu_ring_push(struct percpu_ring *r, intptr_t item,
				   int cpu)
{
	intptr_t reserved;
	int ret;

	do {
		reserved = percpu_read(&r->reserved);
		if (reserved - percpu_read(&r->consumed) >= PERCPU_ITEMS)
			return 1;
		ret = percpu_cmpeqv_storev(CPU_OP_MO_RELAXED, &r->reserved,
					   reserved, reserved + 1, cpu);
	} while (ret > 0);
	if (ret)
		return ret;
	r->item[reserved % PERCPU_ITEMS] = item;
	RSEQ_INJECT_C(8)
	return percpu_addv(CPU_OP_MO_RELEASE, &r->committed, 1, cpu);
}

static inline int percpu_ring_pop(struct percpu_ring *r, intptr_t *item,
				  int cpu)
{
	intptr_t committed, consumed;
	int ret;

	do {
		consumed = percpu_read(&r->consumed);
		committed = percpu_read(&r->committed);
		if (committed != percpu_read(&r->reserved) ||
		    committed == consumed)
			return 1;
		*item = percpu_read(&r->item[consumed % PERCPU_ITEMS]);
		RSEQ_INJECT_C(8)
		ret = percpu_cmpeqv_storev(CPU_OP_MO_RELEASE, &r->consumed,
					   consumed, consumed + 1, cpu);
	} while (ret > 0);
	return ret;
}

#endif /* PERCPU_USES_H */
