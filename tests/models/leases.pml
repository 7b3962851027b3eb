/* Leases and frees without the lock (src/page/chunk_lease.h, page_lease_impl.h), for spin.
 *
 * Threads lease chunks, allocate from them or under the lock, free pages of any chunk, their own and
 * those of others, end leases, park them, take over what is parked, and settle, in every order that
 * the accesses allow. Which parked chunks a thread knows to be rich is a hint; here it may take any. Each word of a
 * chunk holds one page here, so that a run of pages is freed in several steps.
 *
 * Checked: no page is given to two users; nobody waits for ever; when all have freed what they had,
 * ended their leases and settled, no page is left in use, on its way or on a list.
 *
 * Memory is sequentially consistent, as are the accesses that the argument rests on. What is relaxed
 * in the code (bits of `used`, next_sent) is written by one thread and read by others only through
 * one of those.
 *
 * Mutations that must be found (models_test.py): EARLY_LOOK, the freer looks at `leased` before it
 * sets its bits; LATE_CLEAR, settle clears `sent` after it has emptied `returned`; COLLECT_FIRST, the
 * end of a lease empties `returned` before it clears `leased`; EARLY_SEND, a lessee sends the chunk
 * before it parks it; BLIND_TAKE, who takes over a parked chunk looks, and then marks it.
 */
#define THREADS 2
#ifndef STEPS
#define STEPS 3          /* operations of a thread, besides its end */
#endif
#define CHUNKS 2
#define WORDS 2          /* of a chunk; page p is word p % WORDS of chunk p / WORDS */
#define PAGES (CHUNKS * WORDS)
#define NONE 255

bit used[PAGES];
bit returned[PAGES];
#define UNLEASED 0
#define LEASED 1
#define PARKED 2
byte leased[CHUNKS];
bit sent[CHUNKS];
byte next_sent[CHUNKS];  /* chunk + 1, or 0 */
byte head[THREADS];     /* of each thread's list */
bit locked;
bit held[PAGES];         /* by some user: what must be freed again */
byte ended;

inline lock()   { atomic { !locked -> locked = 1 } }
inline unlock() { locked = 0 }

/* `take` becomes what was there. */
inline exchange(word, value, take) { d_step { take = word; word = value } }

inline empty_returned(c) {
  w = 0;
  do
  :: w < WORDS ->
     exchange(returned[c * WORDS + w], 0, b);
     if :: b -> used[c * WORDS + w] = 0 :: else fi;
     w++
  :: else -> break
  od
}

inline push(c) {
  do
  :: h = head[self];
     next_sent[c] = h;
     if
     :: atomic { head[self] == h -> head[self] = c + 1 }; break
     :: else -> skip
     fi
  od
}

/* PageAlloc::send */
inline send(c) {
  if
  :: sent[c] -> skip
  :: else ->
     exchange(sent[c], 1, b);
     if :: !b -> push(c) :: else fi
  fi
}

/* PageAlloc::free_remote of pages [first, first + n), all in one chunk. */
inline free_remote(first, n) {
#ifdef EARLY_LOOK
  l = leased[(first) / WORDS];
#endif
  w = 0;
  do
  :: w < n -> d_step { assert(!returned[first + w]); returned[first + w] = 1 }; w++
  :: else -> break
  od;
#ifndef EARLY_LOOK
  l = leased[(first) / WORDS];
#endif
  if :: l == UNLEASED -> send((first) / WORDS) :: else fi
}

/* PageAlloc::take_parked: l becomes what it was, PARKED if it is the caller's now. */
inline take_parked(c) {
#ifdef BLIND_TAKE
  l = leased[c];
  if :: l == PARKED -> leased[c] = LEASED :: else fi
#else
  d_step { l = leased[c]; if :: l == PARKED -> leased[c] = LEASED :: else fi }
#endif
}

/* PageAlloc::settle_chunk: what was parked becomes a lease, which ends. */
inline settle_chunk(c) {
  if
  :: leased[c] == UNLEASED -> empty_returned(c)
  :: else ->
     take_parked(c);
     if
     :: l == PARKED -> empty_returned(c); leased[c] = UNLEASED; empty_returned(c)
     :: else
     fi
  fi
}

/* PageAlloc::settle of thread t's list; under the lock. */
inline settle(t) {
  exchange(head[t], 0, h);
  do
  :: h != 0 ->
     s = h - 1;
     h = next_sent[s];
#ifndef LATE_CLEAR
     sent[s] = 0;
#endif
     settle_chunk(s);
#ifdef LATE_CLEAR
     sent[s] = 0;
#endif
  :: else -> break
  od
}

/* PageAlloc::end_lease; under the lock. */
inline end_lease() {
#ifdef COLLECT_FIRST
  empty_returned(lease);
  leased[lease] = 0;
#else
  leased[lease] = 0;
  empty_returned(lease);
#endif
  lease = NONE
}

/* PageAlloc::park; without the lock. */
inline park() {
#ifdef EARLY_SEND
  send(lease);
  leased[lease] = PARKED;
#else
  leased[lease] = PARKED;
  send(lease);
#endif
  lease = NONE
}

/* PageAlloc::take_rich of chunk c. */
inline take_over(c) {
  take_parked(c);
  if :: l == PARKED -> lease = c; empty_returned(c) :: else fi
}

/* A page for a user: it must have none. */
inline give_to_user(p) {
  d_step { assert(!used[p]); used[p] = 1 };
  d_step { assert(!held[p]); held[p] = 1 }
}

/* A user frees page p, or both pages of its chunk if it takes both; claimed at once, so that no two
 * users free the same. */
inline free_some() {
  n = 0;
  if
  :: d_step { held[0] -> held[0] = 0; p = 0; n = 1 }
  :: d_step { held[1] -> held[1] = 0; p = 1; n = 1 }
  :: d_step { held[2] -> held[2] = 0; p = 2; n = 1 }
  :: d_step { held[0] && held[1] -> held[0] = 0; held[1] = 0; p = 0; n = 2 }
  :: else -> skip
  fi;
  if
  :: n == 0 -> skip
  :: n != 0 && lease == p / WORDS ->  /* ChunkLease::free */
     used[p] = 0;
     if :: n == 2 -> used[p + 1] = 0 :: else fi
  :: n != 0 && lease != p / WORDS -> free_remote(p, n)
  fi
}

/* ChunkLease::alloc, and collect where nothing is free. */
inline alloc_from_lease() {
  if
  :: !used[lease * WORDS] -> give_to_user(lease * WORDS)
  :: used[lease * WORDS] && !used[lease * WORDS + 1] -> give_to_user(lease * WORDS + 1)
  :: else -> empty_returned(lease)
  fi
}

/* PageAlloc::alloc of one page; under the lock. */
inline alloc_locked() {
  p = 0;
  do
  :: p < PAGES && !leased[p / WORDS] && !used[p] -> give_to_user(p); break
  :: p < PAGES && (leased[p / WORDS] || used[p]) -> p++
  :: p >= PAGES -> break
  od
}

inline lease_chunk() {
  if
  :: leased[0] == UNLEASED -> leased[0] = LEASED; lease = 0
  :: leased[1] == UNLEASED -> leased[1] = LEASED; lease = 1
  :: else -> skip
  fi
}

proctype Thread(byte self) {
  byte step, lease = NONE, p, n, w, h, s, l;
  bit b;
  do
  :: step < STEPS ->
     step++;
     if
     :: lease == NONE -> lock(); lease_chunk(); unlock()
     :: lease != NONE -> alloc_from_lease()
     :: lease != NONE -> lock(); end_lease(); unlock()
     :: lease != NONE -> park()
     :: lease == NONE -> take_over(0)
     :: lease == NONE -> take_over(1)
     :: lock(); settle(self); alloc_locked(); unlock()
     :: lock(); settle(1 - self); unlock()
     :: free_some()
     fi
  :: else -> break
  od;
  /* The end: nothing is kept. */
  if :: lease != NONE -> lock(); end_lease(); unlock() :: else fi;
  do
  :: held[0] || held[1] || held[2] -> free_some()
  :: d_step { held[3] -> held[3] = 0; p = 3 }; free_remote(p, 1)
  :: else -> break
  od;
  ended++
}

init {
  byte h, s, w, p, i, l;
  bit b;
  atomic { i = 0; do :: i < THREADS -> run Thread(i); i++ :: else -> break od };
  ended == THREADS;
  settle(0);
  settle(1);
  p = 0;
  do
  :: p < PAGES -> assert(!used[p] && !returned[p] && !held[p]); p++
  :: else -> break
  od;
  assert(leased[0] == UNLEASED && leased[1] == UNLEASED);
  assert(!sent[0] && !sent[1] && head[0] == 0 && head[1] == 0)
}
