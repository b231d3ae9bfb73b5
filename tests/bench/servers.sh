#!/bin/bash
# servers.sh - the three setups that are compared: started on free ports, their CPU time read, stopped.
#
#   start_pool [option ...]    port[pool], pids[pool]: supervisor, front and 2 workers
#   start_redis [option ...]   port[redis], pids[redis]: one redis-server
#   start_proxy                port[proxy], pids[proxy]: nutcracker and 2 redis-servers
#   stop SETUP                 by pid, and waits for the end
#   cpu_ticks SETUP            utime + stime of all processes of a setup, in clock ticks
#
# Everything lives under $work. Whoever sources this calls stop_all when it exits.

declare -A port pids
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

start_pool() {
    local dir=$work/pool-$RANDOM
    mkdir -p "$dir"
    free_ports 4
    port[pool]=$first_port
    "$build/remuda" pool.ini --port "$first_port" --status-port $((first_port + 1)) --workers 2 \
        --worker-port-base $((first_port + 2)) --dir "$dir" --save '' "$@" >"$dir.log" 2>&1 &
    pids[pool]=$!
    wait_for pool "$first_port" "$dir.log"
    pids[pool]="${pids[pool]} $(cat "/proc/$!/task/$!/children")"
}

# redis_at PORT [option ...]
redis_at() {
    local dir=$work/redis-$1
    mkdir -p "$dir"
    redis-server --bind 127.0.0.1 --port "$1" --dir "$dir" --save '' "${@:2}" >"$dir.log" 2>&1 &
    wait_for redis "$1" "$dir.log"
}

start_redis() {
    free_ports 1
    port[redis]=$first_port
    redis_at "$first_port" "$@"
    pids[redis]=$!
}

start_proxy() {
    local proxy backends
    free_ports 4
    proxy=$first_port backends=$((first_port + 2))
    pids[proxy]=
    for ((i = 0; i < 2; i++)); do
        redis_at $((backends + i))
        pids[proxy]+=" $!"
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
        for ((tries = 0; tries < 200; tries++)); do
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
    awk '{ sub(/.*\) /, ""); ticks += $12 + $13 } END { print ticks }' "${files[@]}"
}

cli() {
    redis-cli -p "${port[$1]}" "${@:2}"
}
