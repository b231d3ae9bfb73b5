#!/bin/bash
# servers.sh - the setups that are compared: started on free ports, their CPU time read, stopped.
#
#   start_pool [option ...]    port[pool], pids[pool]: supervisor, front and 2 workers
#   start_redis [option ...]   port[redis], pids[redis]: one redis-server
#   start_proxy                port[proxy], pids[proxy]: nutcracker and 2 redis-servers
#   start_named KIND NAME [option ...]     another of kind pool or redis: port[NAME], pids[NAME]
#   timed_start SETUP COUNT [option ...]   waits until COUNT keys are loaded; "seconds cpu_seconds" in $timed
#   stop SETUP                 by pid, and waits for the end
#   cpu_ticks SETUP            utime + stime of all processes of a setup and their children that ended, in clock ticks
#   ports_of SETUP             the ports of all its processes that hold data
#
# Everything lives under $work; KEEP=1 starts a setup on the data of its last start. SERVER_ENV is put
# before the servers' command lines. Whoever sources this calls stop_all when it exits.

declare -A port pids kind
KEEP=
SERVER_ENV=()
ticks_per_second=$(getconf CLK_TCK)
work=${work:?}
build=${build:?}
next_port=$((20000 + RANDOM % 8000))

fail() {
    echo "bench: $*" >&2
    exit 1
}

port_is_free() {
    ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# free_ports COUNT: so many in a row; the first in $first_port
free_ports() {
    local p=$next_port
    until [ "$p" -ge $((next_port + $1)) ]; do
        if port_is_free "$p"; then p=$((p + 1)); else next_port=$((p + 1)) p=$next_port; fi
    done
    first_port=$next_port
    next_port=$((next_port + $1))
}

# wait_for SETUP PORT LOG: until it answers PING with PONG
wait_for() {
    local tries
    for ((tries = 0; tries < 200; tries++)); do
        if [ "$(redis-cli -p "$2" ping 2>/dev/null)" = PONG ]; then return; fi
        kill -0 "$!" 2>/dev/null || break
        sleep 0.05
    done
    cat "$3" >&2
    fail "$1 did not come up on port $2"
}

# spawn KIND NAME [option ...]: a process that may not answer yet
spawn() {
    kind[$2]=$1
    "spawn_$1" "${@:2}"
}

# Its children, once they are there.
complete() {
    [ "${kind[$1]}" = redis ] || pids[$1]="${pids[$1]} $(cat "/proc/${pids[$1]}/task/${pids[$1]}/children")"
}

start_named() {
    spawn "$@"
    wait_for "$2" "${port[$2]}" "$work/$2.log"
    complete "$2"
}

start_pool() { start_named pool pool "$@"; }
start_redis() { start_named redis redis "$@"; }

spawn_pool() {
    local dir=$work/$1
    [ -n "$KEEP" ] || rm -rf "$dir"
    mkdir -p "$dir"
    free_ports 4
    port[$1]=$first_port
    env "${SERVER_ENV[@]}" "$build/remuda" pool.ini --port "$first_port" --status-port $((first_port + 1)) \
        --workers 2 --worker-port-base $((first_port + 2)) --dir "$dir" --save '' "${@:2}" >"$dir.log" 2>&1 &
    pids[$1]=$!
}

# redis_at PORT DIR [option ...]
redis_at() {
    local dir=$work/$2
    [ -n "$KEEP" ] || rm -rf "$dir"
    mkdir -p "$dir"
    env "${SERVER_ENV[@]}" redis-server --bind 127.0.0.1 --port "$1" --dir "$dir" --save '' "${@:3}" \
        >"$dir.log" 2>&1 &
}

spawn_redis() {
    free_ports 1
    port[$1]=$first_port
    redis_at "$first_port" "$@"
    pids[$1]=$!
}

timed_start() {
    local began=$EPOCHREALTIME ended
    spawn "$1" "$1" "${@:3}"
    timeout 300 "$build/bench/probe" await "${port[$1]}" "$2" || { cat "$work/$1.log" >&2; fail "$1 did not load $2 keys"; }
    ended=$EPOCHREALTIME
    complete "$1"
    timed="$(seconds_between "$began" "$ended") $(cpu_seconds "$1")"
}

seconds_between() {
    awk -v a="$1" -v b="$2" 'BEGIN { printf "%.3f", b - a }'
}

ports_of() {
    if [ "${kind[$1]}" = pool ]; then echo $((port[$1] + 2)) $((port[$1] + 3)); else echo "${port[$1]}"; fi
}

start_proxy() {
    local proxy backends
    free_ports 4
    proxy=$first_port backends=$((first_port + 2))
    pids[proxy]=
    for ((i = 0; i < 2; i++)); do
        redis_at $((backends + i)) "behind-proxy-$i"
        pids[proxy]+=" $!"
        wait_for redis $((backends + i)) "$work/behind-proxy-$i.log"
    done
    cat >"$work/proxy.yml" <<END
bench:
  listen: 127.0.0.1:$proxy
  hash: fnv1a_64
  distribution: ketama
  redis: true
  servers:
    - 127.0.0.1:$backends:1
    - 127.0.0.1:$((backends + 1)):1
END
    port[proxy]=$proxy
    nutcracker -c "$work/proxy.yml" -s $((proxy + 1)) -i 3600000 -v 1 >"$work/proxy.log" 2>&1 &
    pids[proxy]+=" $!"
    wait_for proxy "$proxy" "$work/proxy.log"
}

# Children of a pool end with their supervisor, the first pid of the list.
stop() {
    local pid tries
    for pid in ${pids[$1]:-}; do kill "$pid" 2>/dev/null || true; done
    for pid in ${pids[$1]:-}; do
        for ((tries = 0; tries < 600; tries++)); do
            kill -0 "$pid" 2>/dev/null || continue 2
            sleep 0.05
        done
        kill -9 "$pid" 2>/dev/null || true
    done
    unset "pids[$1]" "port[$1]"
}

stop_all() {
    local setup
    for setup in "${!pids[@]}"; do stop "$setup"; done
}

cpu_ticks() {
    local pid files=()
    for pid in ${pids[$1]}; do files+=("/proc/$pid/stat"); done
    # The name may hold blanks and parentheses: count from behind it.
    awk '{ sub(/.*\) /, ""); ticks += $12 + $13 + $14 + $15 } END { print ticks }' "${files[@]}"
}

cpu_seconds() {
    awk -v ticks="$(cpu_ticks "$1")" -v rate="$ticks_per_second" 'BEGIN { printf "%.2f", ticks / rate }'
}

cli() {
    redis-cli -p "${port[$1]}" "${@:2}"
}
