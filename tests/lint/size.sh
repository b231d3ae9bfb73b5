#!/bin/sh
# No function over 70 lines, no file over 800, unless size_allowed.txt gives the reason. An entry there
# that is no longer needed is an error too.
set -eu
. "$(dirname "$0")/sources.sh"
function_max=70 file_max=800
allowed=tests/lint/size_allowed.txt
ctags --version 2>/dev/null | grep -q 'Universal Ctags' || { echo "size: universal-ctags is not installed"; exit 1; }

# FILE NAME FIRST-LINE LENGTH of each function; FILE - 1 LENGTH of each file
measure() {
    c_files | ctags -L - --languages=C --langmap=C:.c.h --kinds-C=f --fields=+ne --sort=no -o - |
        awk -F '\t' '{
            first = last = 0
            for (i = 4; i <= NF; i++) {
                if ($i ~ /^line:/) first = substr($i, 6)
                if ($i ~ /^end:/) last = substr($i, 5)
            }
            if (first && last) print $2, $1, first, last - first + 1
        }'
    c_files | xargs awk 'FNR == 1 && NR > 1 { print name, "-", 1, lines } { name = FILENAME; lines = FNR }
                         END { print name, "-", 1, lines }'
}

found=$(measure | awk -v allowed="$allowed" -v function_max=$function_max -v file_max=$file_max '
BEGIN {
    while ((getline line < allowed) > 0) {
        number++
        if (line ~ /^[ \t]*(#|$)/) continue
        words = split(line, word, /[ \t]+/)
        if (words < 4) printf "%s:%d: want FILE FUNCTION-or-- REASON of some words\n", allowed, number
        entry[word[1] " " word[2]] = number
    }
}
{
    limit = $2 == "-" ? file_max : function_max
    if ($4 <= limit) next
    key = $1 " " $2
    if (key in entry) used[key] = 1
    else if ($2 == "-") printf "%s:%d: the file has %d lines, more than %d\n", $1, limit + 1, $4, limit
    else printf "%s:%d: %s() has %d lines, more than %d\n", $1, $3, $2, $4, limit
}
END {
    for (key in entry) if (!(key in used))
        printf "%s:%d: %s needs no exception\n", allowed, entry[key], key
}')
[ -z "$found" ] || { printf '%s\n' "$found"; exit 1; }
