#!/bin/sh
# Every #include "..." is written from the top of the tree, exists, and goes down the layers: a file may
# include what lies in its own folder or in a lower layer, never a sibling and never a higher one.
# supervisor/ and worker/ never include each other; X_private.h stays in its folder.
set -eu
. "$(dirname "$0")/sources.sh"

found=$(c_files | xargs awk '
# The layer table. A folder not listed has no place in the house.
BEGIN {
    layer["shared/base"] = 0
    layer["shared/ipc"] = layer["config"] = 1
    layer["worker/resp"] = layer["worker/types"] = 2
    layer["worker/keyspace"] = 3
    layer["worker/persist"] = 4
    layer["worker/replication"] = 5
    layer["worker/command"] = 6
    layer["worker/route"] = 7
    layer["worker/client"] = layer["worker/offline"] = 8
    layer["worker"] = layer["supervisor"] = 9
    layer["tests"] = 10
}
# The room of a path: the longest listed folder it lies in. supervisor/front is part of supervisor,
# files directly in worker/ are layer 9.
function room_of(path,    parts) {
    split(path, parts, "/")
    if (parts[1] == "tests" || parts[1] == "supervisor" || parts[1] == "config") return parts[1]
    if (parts[1] == "worker" && path !~ /^worker\/[^\/]*\//) return "worker"
    return parts[1] "/" parts[2]
}
function folder_of(path) { sub(/\/[^\/]*$/, "", path); return path }
function complain(what) { printf "%s:%d: %s\n", FILENAME, FNR, what }
FNR == 1 {
    from = room_of(FILENAME)
    if (!(from in layer)) complain("lies in a folder that has no layer")
}
/^[ \t]*#[ \t]*include[ \t]*"/ {
    target = $0
    sub(/^[^"]*"/, "", target); sub(/".*/, "", target)
    if (target == "gen/first_key.def") {
        if (from != "supervisor" && from != "tests") complain("only supervisor/ reads " target)
        next
    }
    if ((getline probe < target) < 0) { complain("no file " target " (paths start at the top)"); next }
    close(target)
    to = room_of(target)
    if (target ~ /_private\.h$/ && folder_of(target) != folder_of(FILENAME) && from != "tests")
        complain(target " is private to " folder_of(target))
    if (from == "tests" || from == to) next
    if (!(to in layer)) complain(target " has no layer")
    else if (from ~ /^worker/ && to == "supervisor") complain("worker includes supervisor: " target)
    else if (from == "supervisor" && to ~ /^worker/) complain("supervisor includes worker: " target)
    else if (layer[to] >= layer[from])
        complain(from " (layer " layer[from] ") may not include " target " (layer " layer[to] ")")
}')
[ -z "$found" ] || { printf '%s\n' "$found"; exit 1; }
