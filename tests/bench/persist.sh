# persist.sh - the tables of persistence, for run: log, files, pauses, cow.

# ---- log ----
# The rows of one policy: NAME PIPELINES SHARE [option ...]; SHARE: how many times fewer commands.
measure_policy() {
    local name=$1 pipelines=$2 share=$3 setup pipeline repeat
    shift 3
    start_pool "$@"
    start_redis "$@"
    for setup in pool redis; do preload $setup; done
    for ((repeat = 0; repeat < REPEATS; repeat++)); do
        for pipeline in $pipelines; do
            for setup in pool redis; do
                measure "$name-P$pipeline" $setup set "$pipeline" $(($(commands_of "$pipeline") / share))
            done
        done
    done >>"$work/log"
    stop_all
}

run_log() {
    local slow
    slow="$(realpath "$build")/bench/slow_sync.so"
    : >"$work/log"
    measure_policy none "1 16" 1
    measure_policy no "1 16" 1 --appendonly yes --appendfsync no
    measure_policy everysec "1 16" 1 --appendonly yes --appendfsync everysec
    measure_policy always "1 16" 2 --appendonly yes --appendfsync always
    SERVER_ENV=("LD_PRELOAD=$slow" "SYNC_US=$SYNC_US")
    measure_policy always-slow "1 16" 4 --appendonly yes --appendfsync always
    SERVER_ENV=()
    echo "SET by appendfsync; none: no log; always-slow: syncs take $SYNC_US us longer."
    echo "$CLIENTS clients, $KEYS random keys, medians of $REPEATS"
    awk -v setups='redis pool' -f tests/bench/table.awk "$work/log"
}

# ---- the data ----
# Of ten keys: seven strings of 64 bytes, one of those with an expiry, one integer, one small hash.
make_dataset() {
    [ ! -e "$work/dataset" ] || return 0
    awk -v count=$DATASET_KEYS 'BEGIN {
        for (i = 0; i < count; i++) {
            kind = i % 10
            value = sprintf("%016d%016d%016d%016d", i * 7, i * 11, i * 13, i * 17)
            if (kind < 7) printf "SET key:%012d %s\r\n", i, value
            else if (kind == 7) printf "SET key:%012d %s EX %d\r\n", i, value, 1000000 + i % 1000
            else if (kind == 8) printf "SET key:%012d %d\r\n", i, 100000000 + i
            else printf "HSET emp:%012d name name-%d age %d city city-%d\r\n", i, i, 20 + i % 50, i % 1000
        }
    }' >"$work/dataset"
}

fill() {
    redis-cli -p "${port[$1]}" --pipe <"$work/dataset" >"$work/pipe.log" 2>&1 ||
        { cat "$work/pipe.log" >&2; fail "loading $1"; }
    [ "$(cli "$1" dbsize)" = $DATASET_KEYS ] || fail "$1 has $(cli "$1" dbsize) keys of $DATASET_KEYS"
}

# info SETUP FIELD: the sum over all its processes; info_max: the largest
info() { info_by "$1" "$2" '{ sum += $1 } END { print sum + 0 }'; }
info_max() { info_by "$1" "$2" '$1 > most { most = $1 } END { print most + 0 }'; }
info_by() {
    local p
    for p in $(ports_of "$1"); do
        redis-cli -p "$p" info | tr -d '\r' | sed -n "s/^$2://p"
    done | awk "$3"
}

# figures FILE 'HEAD ...' ['SETUP ...']: lines "row setup value ..." as medians, redis, pool and the ratio of each
figures() {
    awk -v setups="${3:-redis pool}" -v heads="$2" -f tests/bench/figures.awk "$1"
}

# ---- files ----
# timed_save SETUP: "seconds cpu_seconds" of SAVE
timed_save() {
    local began ended cpu
    cpu=$(cpu_ticks "$1")
    began=$EPOCHREALTIME
    [ "$(cli "$1" save)" = OK ] || fail "SAVE of $1"
    ended=$EPOCHREALTIME
    awk -v wall="$(seconds_between "$began" "$ended")" -v ticks=$(($(cpu_ticks "$1") - cpu)) \
        -v rate="$ticks_per_second" 'BEGIN { print wall, ticks / rate }'
}

# reload ROW SETUP [option ...]: stop, and start on the same data
reload() {
    local row=$1 setup=$2
    stop "$setup"
    timed_start "$setup" $DATASET_KEYS "${@:3}"
    echo "$row $setup $timed"
}

run_files() {
    local setup repeat log="--appendonly yes --appendfsync no --auto-aof-rewrite-percentage 0"
    make_dataset
    : >"$work/files"
    for setup in pool redis; do
        "start_$setup"
        fill $setup
    done
    KEEP=1
    for ((repeat = 0; repeat < REPEATS; repeat++)); do
        for setup in pool redis; do
            echo "save $setup $(timed_save $setup)"
            reload load-rdb $setup
        done
    done >>"$work/files"
    stop_all
    KEEP=
    for setup in pool redis; do
        # shellcheck disable=SC2086
        "start_$setup" $log
        fill $setup
    done
    KEEP=1
    for ((repeat = 0; repeat < REPEATS; repeat++)); do
        for setup in pool redis; do
            # shellcheck disable=SC2086
            reload load-log $setup $log
        done
    done >>"$work/files"
    KEEP=
    stop_all
    echo "SAVE and load of $DATASET_KEYS keys, from start to the last key: seconds, medians of $REPEATS"
    figures "$work/files" 'wall cpu'
}

# ---- pauses ----
# beside_writes SETUP LOAD COMMAND ...: the probe's line while COMMAND runs
beside_writes() {
    local line
    mkfifo "$work/go"
    "$build/bench/probe" pause "${port[$1]}" $DATASET_KEYS "$2" <"$work/go" >"$work/probe" &
    local probe=$!
    exec 4>"$work/go"
    rm "$work/go"
    sleep 0.5
    "${@:3}"
    sleep 0.3
    exec 4>&-
    wait $probe || fail "probe of $1"
    read -r line <"$work/probe"
    echo "$line"
}

# in_background SETUP COMMAND COUNTER: COUNTER of INFO tells its end
in_background() {
    local before wanted reply began=$SECONDS
    before=$(info "$1" "$3")
    wanted=$((before + $(ports_of "$1" | wc -w)))
    reply=$(cli "$1" "$2")
    [[ $reply == *started* ]] || fail "$2 of $1: $reply"
    # redis-server counts a save when it begins.
    until [ "$(info "$1" "$3")" -ge "$wanted" ] && [ "$(info "$1" '[a-z_]*_in_progress')" = 0 ]; do
        sleep 0.1
        [ $((SECONDS - began)) -lt 100 ] || fail "$2 of $1 does not end"
    done
}

run_pauses() {
    local setup repeat load=${LOAD:-10} log="--appendonly yes --appendfsync everysec --auto-aof-rewrite-percentage 0"
    make_dataset
    : >"$work/pauses"
    : >"$work/forks"
    # One setup at a time: the other one's memory would be in the way.
    for setup in pool redis; do
        # shellcheck disable=SC2086
        "start_$setup" $log
        fill $setup
        for ((repeat = 0; repeat < REPEATS; repeat++)); do
            echo "quiet $setup $(beside_writes $setup "$load" sleep 2)"
            echo "bgsave $setup $(beside_writes $setup "$load" in_background $setup bgsave rdb_saves)"
            echo "fork $setup $(info_max $setup latest_fork_usec)" >>"$work/forks"
            echo "bgrewriteaof $setup $(beside_writes $setup "$load" in_background $setup bgrewriteaof aof_rewrites)"
            echo "fork $setup $(info_max $setup latest_fork_usec)" >>"$work/forks"
        done >>"$work/pauses"
        stop $setup
    done
    echo "A SET each ms beside $((load * 1000)) SETs a second, $DATASET_KEYS keys, everysec: ms, medians of $REPEATS"
    figures "$work/pauses" 'samples p50 p99 p99.9 max'
    echo
    echo "The longest fork of a process, us by INFO latest_fork_usec"
    figures "$work/forks" 'fork'
}

# ---- cow ----
# Pss of all processes of a setup and of their children, in MB.
pss_mb() {
    local pid list=() files=()
    for pid in ${pids[$1]}; do
        list+=("$pid")
        mapfile -t -O "${#list[@]}" list < <(cat /proc/"$pid"/task/*/children 2>/dev/null | tr ' ' '\n' | grep .)
    done
    for pid in $(printf '%s\n' "${list[@]}" | sort -u); do files+=("/proc/$pid/smaps_rollup"); done
    # A child may be gone by now.
    { cat "${files[@]}" 2>/dev/null || true; } | awk '/^Pss:/ { kb += $2 } END { printf "%d\n", kb / 1024 }'
}

run_cow() {
    local setup repeat load=${LOAD:-10} before peak now job
    make_dataset
    : >"$work/cow"
    for setup in pool redis; do
        "start_$setup"
        fill $setup
        for ((repeat = 0; repeat < REPEATS; repeat++)); do
            before=$(pss_mb $setup) peak=0
            beside_writes $setup "$load" in_background $setup bgsave rdb_saves >/dev/null &
            job=$!
            while kill -0 $job 2>/dev/null; do
                now=$(pss_mb $setup)
                if [ "$now" -gt $peak ]; then peak=$now; fi
                sleep 0.1
            done
            wait $job
            echo "bgsave $setup $before $peak $((peak - before))"
        done >>"$work/cow"
        stop $setup
    done
    echo "Pss of all processes around a BGSAVE under $((load * 1000)) SETs a second, $DATASET_KEYS keys: MB, medians of $REPEATS"
    figures "$work/cow" 'before peak more'
}
