# replication.sh - the table of replication, for run.
#
# Three pairs: redis, a redis-server that follows a redis-server; pool, a pool that follows a pool; merged,
# a redis-server that follows a pool's public port. PAIR is its primary, PAIR-replica the other one.

PAIRS="redis pool merged"
MARKS=(bench:mark:{0..7}) # on all shards
MIX=("SET key:__rand_int__ xxx" "SET key:__rand_int__ xxx EX 1000" "INCR counter:__rand_int__"
    "HSET hash:__rand_int__ field xxx" "RPUSH list:__rand_int__ xxx" "ZADD zset:__rand_int__ 1 member")
REPLICATED_KEYS=200000
LAG_MS=5000

primary_kind() { if [ "$1" = redis ]; then echo redis; else echo pool; fi; }
replica_kind() { if [ "$1" = pool ]; then echo pool; else echo redis; fi; }
start_primary() { start_named "$(primary_kind "$1")" "$1" "${@:2}"; }
start_replica() { start_named "$(replica_kind "$1")" "$1-replica"; }

# From REPLICAOF until all is there.
follow() {
    [ "$(cli "$1-replica" replicaof 127.0.0.1 "${port[$1]}")" = OK ] || fail "REPLICAOF of $1-replica"
    # shellcheck disable=SC2046
    timeout 120 "$build/bench/probe" linked $(ports_of "$1-replica") ||
        { cat "$work/$1-replica.log" >&2; fail "$1-replica does not get there"; }
}

# Until the replica has what was written before.
catch_up() {
    local value=$RANDOM$RANDOM tries
    # shellcheck disable=SC2046
    cli "$1" mset $(printf "%s $value " "${MARKS[@]}") >/dev/null
    for ((tries = 0; tries < 3000; tries++)); do
        if [ "$(cli "$1-replica" mget "${MARKS[@]}" | sort -u)" = "$value" ]; then return; fi
        sleep 0.02
    done
    fail "$1-replica is too far behind"
}

# ---- CPU ----
# written ROW SETUP PIPELINE COUNT COMMAND ...: lines "ROW-side setup us", what a command costs on either side
written() {
    local row=$1 setup=$2 count=$4 primary replica=0 command side=primary
    if [[ $setup == *-alone ]]; then side=alone; else replica=$(cpu_ticks "$setup-replica"); fi
    primary=$(cpu_ticks "$setup")
    for command in "${@:5}"; do
        # shellcheck disable=SC2086
        redis-benchmark -p "${port[$setup]}" -P "$3" -n $((count / ($# - 4))) -c $CLIENTS -r $REPLICATED_KEYS -q \
            $command >"$work/csv" 2>&1 || { cat "$work/csv" >&2; fail "redis-benchmark against $setup"; }
    done
    [ $side = alone ] || catch_up "$setup"
    echo "$row-$side ${setup%-alone} $(us_each $(($(cpu_ticks "$setup") - primary)) "$count")"
    [ $side = alone ] ||
        echo "$row-replica $setup $(us_each $(($(cpu_ticks "$setup-replica") - replica)) "$count")"
}

us_each() {
    awk -v ticks="$1" -v rate="$ticks_per_second" -v count="$2" 'BEGIN { print ticks / rate * 1e6 / count }'
}

measure_replicating() {
    local setup repeat set="SET key:__rand_int__ xxx" setups="redis-alone pool-alone $PAIRS"
    for setup in $setups; do
        start_primary "$setup"
        redis-benchmark -p "${port[$setup]}" -P 64 -n $((2 * REPLICATED_KEYS)) -c $CLIENTS -r $REPLICATED_KEYS -q \
            SET key:__rand_int__ xxx >/dev/null 2>&1 || fail "loading $setup"
        [[ $setup != *-alone ]] || continue
        start_replica "$setup"
        follow "$setup"
    done
    for ((repeat = 0; repeat < REPEATS; repeat++)); do
        for setup in $setups; do written set-P1 "$setup" 1 "$(commands_of 1)" "$set"; done
        for setup in $setups; do written set-P16 "$setup" 16 "$(commands_of 16)" "$set"; done
        for setup in $setups; do written mix-P16 "$setup" 16 "$(commands_of 16)" "${MIX[@]}"; done
    done >"$work/replicating"
    for setup in redis-alone pool-alone; do stop $setup; done
}

# ---- lag ----
# Of the pairs that measure_replicating started.
measure_lag() {
    local setup repeat here there i ports distance
    for ((repeat = 0; repeat < REPEATS; repeat++)); do
        for setup in $PAIRS; do
            distance=
            if [ "$setup" != merged ]; then # whose stream is another one than the shards'
                read -r -a here < <(ports_of "$setup" | paste -s -d ' ')
                read -r -a there < <(ports_of "$setup-replica" | paste -s -d ' ')
                ports=()
                for i in "${!here[@]}"; do ports+=("${here[i]}" "${there[i]}"); done
                "$build/bench/probe" distance $LAG_MS "${ports[@]}" >"$work/distance" &
                distance=$!
            fi
            echo "seen-ms $setup $("$build/bench/probe" lag "${port[$setup]}" "${port[$setup-replica]}" \
                $REPLICATED_KEYS "$load" $LAG_MS)"
            [ -z "$distance" ] || { wait "$distance" && echo "behind-bytes $setup $(cat "$work/distance")"; }
        done
    done >"$work/lag"
}

# ---- full sync ----
with_new_replica() {
    start_replica "$1"
    "${@:2}"
    stop "$1-replica"
}

timed_sync() {
    local began=$EPOCHREALTIME ended primary replica
    primary=$(cpu_ticks "$1") replica=$(cpu_ticks "$1-replica")
    follow "$1"
    ended=$EPOCHREALTIME
    sleep 0.5 # until the CPU time of children that ended is counted
    [ "$(cli "$1-replica" dbsize)" = "$(cli "$1" dbsize)" ] || fail "$1-replica has not all keys"
    awk -v row="$2" -v setup="$1" -v wall="$(seconds_between "$began" "$ended")" -v rate="$ticks_per_second" \
        -v primary=$(($(cpu_ticks "$1") - primary)) -v replica=$(($(cpu_ticks "$1-replica") - replica)) \
        'BEGIN { print row, setup, wall, primary / rate, replica / rate }' >>"$work/syncs"
}

# The most memory that each side has meanwhile.
watched_sync() {
    local job now side most=(0 0)
    follow "$1" &
    job=$!
    while kill -0 $job 2>/dev/null; do
        for side in 0 1; do
            if [ $side = 0 ]; then now=$(pss_mb "$1"); else now=$(pss_mb "$1-replica"); fi
            if [ "$now" -gt "${most[side]}" ]; then most[side]=$now; fi
        done
    done
    wait $job
    echo "$2 $1 ${most[*]}" >>"$work/sync-memory"
}

paused_sync() {
    echo "$2 $1 $(beside_writes "$1" "$load" follow "$1")" >>"$work/sync-pauses"
}

measure_syncs() {
    local setup repeat diskless row job
    for setup in $PAIRS; do
        start_primary "$setup"
        fill "$setup"
        for ((repeat = 0; repeat < REPEATS; repeat++)); do
            for diskless in no yes; do
                row=$([ $diskless = no ] && echo disk || echo diskless)
                [ "$(cli "$setup" config set repl-diskless-sync $diskless repl-diskless-sync-delay 0)" = OK ] ||
                    fail "repl-diskless-sync of $setup"
                for job in timed_sync watched_sync paused_sync; do
                    with_new_replica "$setup" $job "$setup" $row
                done
            done
        done
        stop "$setup"
    done
}

run_replication() {
    local load=${LOAD:-20}
    : >"$work/syncs"
    : >"$work/sync-memory"
    : >"$work/sync-pauses"
    measure_replicating
    echo "Replication. redis: redis-server -> redis-server; pool: pool -> pool; merged: pool -> redis-server, public port"
    echo "CPU us per command of all processes of a side: $CLIENTS clients, $REPLICATED_KEYS random keys, medians of $REPEATS"
    figures "$work/replicating" us "$PAIRS"
    measure_lag
    stop_all
    echo
    echo "The replica under $((load * 1000)) SETs a second, medians of $REPEATS"
    figures "$work/lag" 'samples p50 p99 max' "$PAIRS"
    make_dataset
    measure_syncs
    echo
    echo "Full sync of $DATASET_KEYS keys, from REPLICAOF to the link being up: seconds, medians of $REPEATS"
    figures "$work/syncs" 'wall primary-cpu replica-cpu' "$PAIRS"
    echo
    echo "Most Pss of either side meanwhile, MB"
    figures "$work/sync-memory" 'primary replica' "$PAIRS"
    echo
    echo "A SET each ms at the primary meanwhile, beside $((load * 1000)) SETs a second: ms"
    figures "$work/sync-pauses" 'samples p50 p99 p99.9 max' "$PAIRS"
}
