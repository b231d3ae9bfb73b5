#!/bin/sh
# The tables: no row twice, no row without its help. The compiler's preprocessor reads the rows, so that
# comments, line breaks and commas in texts are what they are in the program.
set -eu
. "$(dirname "$0")/sources.sh"

# rows FILE MACRO(PARAMETERS) KEY HELP: prints "LINE@@KEY@@HELP" of each row
rows() {
    printf '#define %s @row __LINE__@@%s@@%s\n#include "%s"\n' "$2" "$3" "$4" "$1" |
        "${CC:-cc}" -E -P -I. -x c - | tr '\n' ' ' | sed 's/@row /\n@row /g' | sed -n 's/^@row //p'
}

# check FILE MACRO(PARAMETERS) KEY HELP
check() {
    rows "$@" | awk -v file="$1" -F ' *@@ *' '
    {
        key = $2; gsub(/"/, "", key)
        help = $3; gsub(/[" ]/, "", help)
        if (key in seen) print file ":" $1 ": " key " is already at line " seen[key]
        else seen[key] = $1
        if (length(help) < 5) print file ":" $1 ": " key " has no help"
    }
    END { if (!NR) print file ":1: no rows were found" }'
}

option='OPTION(field, name, section, type, unit, value, min, max, when, help)'
command='COMMAND(name, handler, arity, flags, span, first, last, step, numkeys, group, since, complexity, summary, ...)'
found=$(
    check shared/ipc/metrics.def 'METRIC(field, kind, scope, help)' field help
    check config/options.def "$option" field help
    check config/options.def "$option" name help
    check worker/command/commands.def "$command" name summary
)
# The README's option table is for readers, so it may not fall behind.
found="$found$(rows config/options.def "$option" name help | awk -F ' *@@ *' '{ gsub(/"/, "", $2); print $2 }' |
    while read -r name; do
        grep -q "^| \`$name\` |" README.md || printf '\nREADME.md:1: option %s is not in its table' "$name"
    done)"
[ -z "$found" ] || { printf '%s\n' "$found" | sort -u; exit 1; }
