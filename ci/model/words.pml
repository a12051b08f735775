/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Vectors of words, which add 1 where X is mapped: user_words_are_here() and user_word_is_plain() of mm/user_page.c.
 * One CPU with its TLB, on which an interrupt handler runs them; and what others do to the mapping, until they have
 * flushed TLBs.
 *
 * FLUSH_INTERRUPTS: TLBs are flushed by interrupts, and not by a broadcast that waits for nobody.
 * READS: the vectors only load X.
 */

#ifdef READS
#define WRITES	false
#else
#define WRITES	true
#endif

/* The mutants: each leaves out one rule. */
#ifdef NO_LOOK_AT_DROPS
#define LOOKS_AT_DROPS	false
#else
#define LOOKS_AT_DROPS	true
#endif
#ifdef NO_LOOK_AT_RECLAIM
#define LOOKS_AT_RECLAIM	false
#else
#define LOOKS_AT_RECLAIM	true
#endif
#ifdef NO_LOOK_AT_MM
#define LOOKS_AT_MM	false
#else
#define LOOKS_AT_MM	true
#endif
#ifdef NO_LOOK_AT_LOADED
#define LOOKS_AT_LOADED	false
#else
#define LOOKS_AT_LOADED	true
#endif

#define PAGES	6
#define NONE	15
#define VECTORS	2

mtype = { dropper, reclaim, writer };

/* What the CPU runs, and whose memory it has loaded. */
bool curr_is_ours = true, loaded_is_ours = true;
bool irqs_off;
byte tlb = NONE;
bool tlb_writable;

byte pte = 1;
bool writable = true;
bool locked;			/* the page table */
byte swapped = NONE;		/* the page that reclaim took, while it is in memory */
bool shared;			/* with another process: who stores gets a copy */
bool on_disk;
byte disk;			/* what X holds there */
bool drop_pending, reclaim_pending;	/* flushes that are due */

byte word[PAGES];
bool used[PAGES];		/* ours: else it may be anybody's */

/* What X holds by all that was stored so far, which a drop leaves open. */
byte spec;
bool open;
bool changed;			/* one of both, since the vector began */

inline store(p, value) {
	word[p] = value; spec = word[p]; open = false; changed = true
}

inline map_new(p, content) {
	p = 2;
	do
	:: used[p] -> p++
	:: else -> break
	od;
	assert(p < PAGES);
	used[p] = true; word[p] = content; pte = p; writable = true
}

/* For a store. */
inline fault_in(p) {
	if
	:: swapped != NONE && !shared -> pte = swapped; writable = true; swapped = NONE
	:: swapped != NONE && shared -> map_new(p, word[swapped]); swapped = NONE
	:: swapped == NONE && on_disk -> map_new(p, disk); on_disk = false
	:: swapped == NONE && !on_disk -> map_new(p, 0)
	fi;
	p = pte
}

/* Flushes where the process runs. A kernel thread makes no use of it, and is not interrupted for that. */
inline flush(who) {
	atomic {
#ifdef FLUSH_INTERRUPTS
		!(curr_is_ours && loaded_is_ours && irqs_off) ->
#endif
		if
		:: curr_is_ours -> tlb = NONE
		:: else
		fi;
		printf("%e: flushes TLBs\n", who)
	}
}

/* The TLB finds what is mapped, also before it is needed. */
proctype Walker() {
end:	do
	:: atomic {
		loaded_is_ours && tlb == NONE && pte != NONE ->
		tlb = pte; tlb_writable = writable;
		printf("CPU: the TLB has page %d\n", tlb)
	   }
	od
}

inline switch(possible, ours, loads_ours) {
	atomic {
		(possible) && !irqs_off && (curr_is_ours != ours || loaded_is_ours != loads_ours);
		/* It catches up with flushes that it missed. */
		if
		:: ours || !loads_ours -> tlb = NONE
		:: else
		fi;
		curr_is_ours = ours; loaded_is_ours = loads_ours;
		printf("CPU: runs ours: %d, and has ours loaded: %d\n", ours, loads_ours)
	}
}

proctype Scheduler() {
end:	do
	:: switch(true, true, true)
	:: switch(true, false, false)		/* another process */
	:: switch(loaded_is_ours, false, true)	/* a kernel thread */
	:: switch(curr_is_ours, true, false)	/* other memory for the moment, such as that of EFI */
	od
}

/* The access of the word, as the hardware does it. */
inline access(write, p) {
	if
	:: !loaded_is_ours -> printf("A: accesses another process's memory\n"); assert(false)
	:: else
	fi;
	if
	:: tlb == NONE || (write && !tlb_writable) -> tlb = pte; tlb_writable = pte != NONE && writable
	:: else
	fi;
	p = ((tlb == NONE || (write && !tlb_writable)) -> NONE : tlb)
}

inline look_at_table() {
	atomic {
		found = pte != NONE && (writable || !WRITES);
		printf("A: finds page %d, can access it: %d\n", pte, found)
	}
}

inline look_at_flushes() {
	atomic {
		due = (drop_pending && LOOKS_AT_DROPS) || (reclaim_pending && LOOKS_AT_RECLAIM);
		printf("A: a flush is due: %d\n", due)
	}
}

/* Interrupts the CPU for a vector. */
proctype Vectors() {
	byte n = VECTORS, p, value;
	bool here, found, due;

	do
	:: n == 0 -> break
	:: else ->
		n--;
		atomic {
			!irqs_off ->
			irqs_off = true; changed = false;
			here = (curr_is_ours || !LOOKS_AT_MM) && (loaded_is_ours || !LOOKS_AT_LOADED);
			found = false; due = false;
			printf("A: interrupts the CPU, can access words: %d\n", here)
		};
		if
		:: here ->
			look_at_table();
			look_at_flushes()
		:: else
		fi;
		if
		:: here && found && !due ->
			atomic {
				access(false, p);
				value = (p == NONE -> 0 : word[p]);
				if
				:: p != NONE ->
					printf("A: loads %d from page %d\n", value, p);
					if
					:: !used[p] -> printf("A: that page is free\n"); assert(false)
					:: used[p] && !changed && !open && value != spec ->
						printf("A: but X holds %d\n", spec);
						assert(false)
					:: else
					fi
				:: else
				fi
			};
			if
			:: p != NONE && WRITES ->
				atomic {
					access(true, p);
					if
					:: p != NONE ->
						printf("A: stores %d to page %d\n", value + 1, p);
						if
						:: !used[p] -> printf("A: that page is free\n"); assert(false)
						:: else
						fi;
						word[p] = value + 1;
						/* A thread could lose what others store meanwhile, too. */
						if
						:: !changed -> spec = value + 1
						:: else -> open = true
						fi
					:: else
					fi
				}
			:: else
			fi
		:: else -> p = NONE
		fi;
		irqs_off = false;
		/* The ordinary way: with the page pinned, checked and accessed as one step. */
		if
		:: p == NONE ->
			atomic {
				!irqs_off && !locked ->
				if
				:: pte == NONE -> fault_in(p)
				:: else -> p = pte
				fi;
				/* One that is shared the writer copies. */
				if
				:: writable ->
					printf("A: pins page %d, which holds %d, and adds 1\n", p, word[p]);
					store(p, word[p] + 1)
				:: else
				fi
			}
		:: else
		fi
	od
}

/* madvise(MADV_DONTNEED) */
proctype Dropper() {
	byte p;

end:	atomic {
		!locked && pte != NONE -> locked = true;
		drop_pending = true; p = pte; pte = NONE;
		open = true; changed = true;
		printf("dropper: drops page %d\n", p)
	};
	locked = false;
	flush(dropper);
	atomic { used[p] = false; drop_pending = false; printf("dropper: frees page %d\n", p) }
}

/* The page is written out once no TLB has it. */
proctype Reclaim() {
	byte p;

end:	atomic {
		!locked && pte != NONE -> locked = true;
		p = pte; shared = !writable; pte = NONE;
		printf("reclaim: unmaps page %d\n", p)
	};
	atomic { reclaim_pending = true; swapped = p; locked = false };
	flush(reclaim);
	atomic {
		reclaim_pending = false;
		if
		:: swapped == p ->
			swapped = NONE; on_disk = true; disk = word[p]; used[p] = false;
			printf("reclaim: frees page %d\n", p)
		:: else
		fi
	}
}

/* A thread elsewhere, which stores to X, and may have fork()ed before: the page is copied then. */
proctype Writer() {
	byte p, q;

	if
	:: atomic { !locked && pte != NONE -> writable = false; printf("writer: shares page %d\n", pte) };
	   flush(writer)
	:: true
	fi;
	atomic { !locked -> locked = true };
	if
	:: pte == NONE ->
		atomic { fault_in(p); printf("writer: has X map page %d\n", p) }
	:: pte != NONE && !writable ->
		atomic { q = pte; pte = NONE };
		flush(writer);
		atomic { map_new(p, word[q]); printf("writer: has X map page %d, a copy\n", p) }
	:: else
	fi;
	locked = false;
	/* Another fault if that is not for long. */
	atomic {
		if
		:: pte != NONE && writable -> printf("writer: stores 5 to page %d\n", pte); store(pte, 5)
		:: else
		fi
	}
}

init {
	atomic {
		used[1] = true;
		run Walker(); run Scheduler(); run Vectors(); run Dropper(); run Reclaim(); run Writer()
	}
}
