/* The yardstick (guests/scenarios/yardstick.py) for SPIN: the same tasks, in the same steps.
 *
 *   -DGUESTS=n        tasks that fault
 *   -DTAKE_ALL=0      bugs A and E: registration does not wait for running invalidations
 *   -DCHECK_COUNT=0   bugs B and D: the guest does not recheck the count
 *   -DCHECK_SEQ=0     bugs B and C: the guest does not recheck the sequence
 *   -DCOUNTED=0       bug E: nobody watches the count
 *
 * A d_step, like a single statement, is one step of one task.
 */
#ifndef GUESTS
#define GUESTS 1
#endif
#ifndef TAKE_ALL
#define TAKE_ALL 1
#endif
#ifndef CHECK_COUNT
#define CHECK_COUNT 1
#endif
#ifndef CHECK_SEQ
#define CHECK_SEQ 1
#endif
#ifndef COUNTED
#define COUNTED 1
#endif

bit i_mmap, pte_lock, mmu_lock, sem_writer, registered, spte, freed;
bit present = 1;
byte sem_readers, seq;
byte refs = 1;
short count;

inline take(lock) { d_step { lock == 0 -> lock = 1 } }
inline drop(lock) { lock = 0 }

inline put() {
	d_step {
		refs--;
		if
		:: refs == 0 -> freed = 1; assert(!spte)
		:: else
		fi
	}
}

active proctype registrar()
{
	d_step { sem_writer == 0 && sem_readers == 0 -> sem_writer = 1 };
#if TAKE_ALL
	take(i_mmap);
#endif
	registered = 1;
#if TAKE_ALL
	drop(i_mmap);
#endif
	drop(sem_writer)
}

active proctype truncate()
{
	bit told;

	take(i_mmap);
	told = registered;
	if
	:: told ->
		take(mmu_lock);
		d_step { count++; spte = 0 };
		drop(mmu_lock)
	:: else
	fi;
	take(pte_lock);
	present = 0;
	drop(pte_lock);
	put();
	told = registered;
	if
	:: told ->
		take(mmu_lock);
		d_step {
			count--;
			seq++;
#if COUNTED
			assert(count >= 0)
#endif
		};
		drop(mmu_lock)
	:: else
	fi;
	drop(i_mmap)
}

active [GUESTS] proctype guest()
{
	byte sampled, attempt;
	bit got, set;

	if
	:: registered
	:: else -> goto out
	fi;
again:
	sampled = seq;
	d_step { sem_writer == 0 -> sem_readers++ };
	take(pte_lock);
	d_step {
		got = present;
		if
		:: got -> refs++
		:: else
		fi
	};
	drop(pte_lock);
	sem_readers--;
	if
	:: got ->
		take(mmu_lock);
		d_step {
			set = 1;
#if CHECK_COUNT
			if
			:: count != 0 -> set = 0
			:: else
			fi;
#endif
#if CHECK_SEQ
			if
			:: seq != sampled -> set = 0
			:: else
			fi;
#endif
			if
			:: set -> spte = 1; assert(!freed)
			:: else
			fi
		};
		drop(mmu_lock);
		put();
		if
		:: !set && attempt == 0 -> attempt = 1; goto again
		:: else
		fi
	:: else
	fi;
out:
	skip
}
