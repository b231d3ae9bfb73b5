#!/bin/sh
# The top level holds what the plan of the house allows, and nothing else.
set -eu
. "$(dirname "$0")/sources.sh"
folders='supervisor worker shared config tests .ci'
files='Makefile README.md pool.ini LICENSE .clang-format .gitignore'

found=$(tree_files | awk -v folders="$folders" -v files="$files" '
BEGIN {
    n = split(folders, f, " "); for (i = 1; i <= n; i++) folder[f[i]] = 1
    n = split(files, f, " "); for (i = 1; i <= n; i++) file[f[i]] = 1
}
{
    top = $0
    if (sub(/\/.*/, "", top) ? top in folder : top in file) next
    if (!(top in seen)) print $0 ":1: " top " does not belong at the top level"
    seen[top] = 1
}')
[ -z "$found" ] || { printf '%s\n' "$found"; exit 1; }
