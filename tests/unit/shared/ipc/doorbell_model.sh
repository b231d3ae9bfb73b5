#!/bin/sh
# Verify the model of the doorbell exhaustively, then show that the model can fail: with any one part of
# the protocol taken away it must find the lost wake-up. Exits 0 when all of that holds. DEEP=1 adds half a
# minute and ten million states.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
command -v spin >/dev/null || { echo "doorbell_model: skipped, spin is not installed"; exit 0; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

# explore DEFINES: prints the verifier's report
explore() {
    # shellcheck disable=SC2086
    spin $1 -a "$here/doorbell.pml" >spin.log || { cat spin.log; exit 1; }
    "${CC:-cc}" -O2 -DSAFETY -DCOLLAPSE -w -o pan pan.c
    ./pan -m1000000 >report 2>&1 || true
    cat report
}

# holds NAME DEFINES
holds() {
    if explore "$2" | grep -q 'errors: 0' && ! grep -Eq 'truncated|too small|out of memory' report; then
        echo "doorbell_model: $1: no lost wake-up in $(sed -n 's/ *\([0-9.e+]*\) states, stored.*/\1/p' report) states"
    else
        echo "doorbell_model: $1: FAILED"
        cat report
        exit 1
    fi
}

# breaks DEFINE: without this part the model must fail, and by a wake-up lost
breaks() {
    if explore "-D$1" | grep -q 'invalid end state'; then
        echo "doorbell_model: $1 loses a wake-up, as it must"
    else
        echo "doorbell_model: $1 was not found out: the model shows nothing"
        cat report
        exit 1
    fi
}

holds "two ringers" "-DMESSAGES=2 -DKILLS=0"
holds "two ringers, one killed" "-DMESSAGES=1 -DKILLS=1"
holds "one ringer, killed twice" "-DRINGERS=1 -DMESSAGES=3 -DKILLS=2"
[ -z "${DEEP:-}" ] || holds "two ringers, one killed, two messages each" ""
for part in NO_RELOOK NO_SLEEPER_FENCE NO_RINGER_FENCE CLEAR_BEFORE_RING NO_RING_AT_START; do
    breaks $part
done
