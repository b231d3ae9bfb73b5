#!/bin/sh
# Shows that each lint can fail: one violation at a time is put into a copy of the tree, and the lint must
# name it. The copy is no git work tree, so the other way of listing files is tried as well.
set -eu
. "$(dirname "$0")/sources.sh"
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
failed=0

fresh() {
    rm -rf "$copy"
    mkdir "$copy"
    tree_files | tar -cf - -T - | tar -xf - -C "$copy"
}

# expect LINT TEXT: in the copy, as it is now, the lint must fail and say TEXT
expect() {
    if output=$("$copy/tests/lint/$1.sh" 2>&1) || ! printf '%s\n' "$output" | grep -qF -- "$2"; then
        echo "tests/lint/$1.sh:1: did not report '$2'"
        failed=1
    fi
}

# seed FILE TEXT LINT MESSAGE: with TEXT added to FILE the lint must give the MESSAGE
seed() {
    fresh
    mkdir -p "$(dirname "$copy/$1")"
    printf '%b' "$2" >>"$copy/$1"
    expect "$3" "$4"
}

seed shared/base/buf.c '#include "shared/ipc/ring.h"\n' layers 'shared/base (layer 0) may not include shared/ipc/ring.h'
seed worker/resp/x.c '#include "worker/types/value.h"\n' layers 'worker/resp/x.c:1: worker/resp (layer 2) may not include'
seed worker/keyspace/x.c '#include "worker/command/command.h"\n' layers 'may not include worker/command/command.h'
seed worker/x.c '#include "supervisor/x.h"\n' layers 'no file supervisor/x.h'
seed config/x.c '#include "shared/ipc/ring.h"\n' layers 'config (layer 1) may not include'
seed supervisor/front/x.c '#include "worker/resp/parse.h"\n' layers 'supervisor includes worker'
seed worker/x.c '#include "buf.h"\n' layers 'paths start at the top'
seed worker/odd/x.c '\n' layers 'worker/odd/x.c:1: lies in a folder that has no layer'
fresh
: >"$copy/worker/types/x_private.h"
printf '#include "worker/types/x_private.h"\n' >"$copy/worker/client/x.c"
expect layers 'worker/types/x_private.h is private to worker/types'
seed shared/base/x.c 'int  x;\n' format 'shared/base/x.c:1:'
seed shared/base/x.c "int x(void) {\n$(yes '    ;\n' | head -70 | tr -d '\n')}\n" size 'shared/base/x.c:1: x() has 72 lines'
seed shared/base/x.c "$(yes '\n' | head -801 | tr -d '\n')" size 'shared/base/x.c:801: the file has 801 lines'
seed tests/lint/size_allowed.txt 'shared/base/x.c x it was long once\n' size 'shared/base/x.c x needs no exception'
seed notes.txt '\n' top_level 'notes.txt does not belong'
seed docs/x '\n' top_level 'docs does not belong'
seed shared/ipc/metrics.def 'METRIC(uptime_us, GAUGE, ANY, "Again here")\n' tables 'uptime_us is already at line'
seed shared/ipc/metrics.def 'METRIC(mute, GAUGE, ANY, "")\n' tables 'mute has no help'
seed config/options.def 'OPTION(x, "port", "s", INT, "", "0", 0, 1, LIVE, "Some help.")\n' tables 'port is already at line'
seed config/options.def 'OPTION(port, "x", "s", INT, "", "0", 0, 1, LIVE, "")\n' tables 'port has no help'
seed worker/command/commands.def 'COMMAND("del", NULL, 1, 0, 0, 0, 0, 0, 0, "g", "1", "O(1)", "Once more.", "", "")\n' tables 'del is already at line'
[ $failed = 0 ]
