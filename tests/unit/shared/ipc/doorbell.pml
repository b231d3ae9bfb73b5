/* doorbell.pml - the model of shared/ipc/doorbell.h, for Spin.
 *
 * One sleeper, RINGERS ringers, each with a ring of its own to the sleeper. A plain store first lands in
 * its process's store buffer and reaches memory when it likes, or at a full fence: that is all the
 * reordering the protocol has to stand. A ringer can be killed between any two steps (KILLS times in
 * all); its buffered store still reaches memory, and its successor rings once before it does anything
 * else. A lost wake-up shows as an invalid end state: the sleeper waits for a bell nobody will ring.
 *
 * Each of these takes a part of the protocol away and must make the model fail:
 *   NO_RELOOK, NO_SLEEPER_FENCE, NO_RINGER_FENCE, CLEAR_BEFORE_RING, NO_RING_AT_START */
#ifndef RINGERS
#define RINGERS 2
#endif
#ifndef MESSAGES
#define MESSAGES 2
#endif
#ifndef KILLS
#define KILLS 1
#endif

byte tail[RINGERS];         /* in memory */
byte tail_buffered[RINGERS];
bool tail_pending[RINGERS]; /* in the ringer's store buffer */

byte asleep;                /* in memory: 0 or a ticket */
byte asleep_buffered;
bool asleep_pending;        /* in the sleeper's store buffer */

bool bell;                  /* the eventfd is readable */
bool killed[RINGERS];       /* takes effect before the next step of that ringer */

/* The store buffers, draining at any time. */
active proctype memory_of_sleeper() {
end:
    do
    :: atomic { asleep_pending -> asleep = asleep_buffered; asleep_pending = false }
    od
}

proctype memory_of_ringer(byte me) {
end:
    do
    :: atomic { tail_pending[me] -> tail[me] = tail_buffered[me]; tail_pending[me] = false }
    od
}

inline ring(ticket) {
#ifndef NO_RINGER_FENCE
    !tail_pending[me];
#endif
    ticket = asleep;
    if
    :: ticket == 0
    :: else ->
#ifdef CLEAR_BEFORE_RING
        atomic {
            if
            :: asleep == ticket -> asleep = 0
            :: else -> ticket = 0
            fi
        };
        if
        :: ticket -> bell = true
        :: else
        fi
#else
        bell = true;
        atomic {
            if
            :: asleep == ticket -> asleep = 0
            :: else
            fi
        }
#endif
    fi
}

proctype ringer(byte me) {
    byte ticket, next;
start:
    {
        !tail_pending[me]; /* what the killed one had stored is in memory */
        next = tail[me];
#ifndef NO_RING_AT_START
        ring(ticket);
#endif
        do
        :: atomic {
            next < MESSAGES && !tail_pending[me] ->
            next++;
            tail_buffered[me] = next;
            tail_pending[me] = true
        };
            ring(ticket)
        :: next == MESSAGES -> break
        od
    } unless {
        atomic { killed[me] -> killed[me] = false };
        goto start
    }
}

/* Strikes at any moment, or never. */
active proctype killer() {
    byte left = KILLS, victim;
end:
    do
    :: atomic {
            left > 0 -> left--;
            do
            :: victim < RINGERS - 1 -> victim++
            :: break
            od;
            killed[victim] = true;
            victim = 0
        }
    od
}

active proctype sleeper() {
    byte seen[RINGERS], ticket, i;
    bool more;
    do
    ::  more = false;
        do
        :: atomic { i < RINGERS -> seen[i] = tail[i]; more = more || seen[i] < MESSAGES; i++ }
        :: i == RINGERS -> break
        od;
        if
        :: atomic { !more -> break }
        :: atomic {
            more && !asleep_pending -> /* stores to one place keep their order */
            ticket++;
            i = 0;
            more = false;
            asleep_buffered = ticket;
            asleep_pending = true
        }
        fi;
#ifndef NO_SLEEPER_FENCE
        !asleep_pending;
#endif
#ifndef NO_RELOOK
        do
        :: atomic { i < RINGERS -> more = more || tail[i] != seen[i]; seen[i] = 0; i++ }
        :: i == RINGERS -> break
        od;
#endif
        if
        :: more
        :: atomic { !more && bell -> bell = false }
        fi;
        atomic { !asleep_pending -> i = 0; asleep_buffered = 0; asleep_pending = true }
    od
}

init {
    byte r = 0;
    atomic {
        do
        :: r < RINGERS -> run memory_of_ringer(r); run ringer(r); r++
        :: else -> break
        od
    }
}
