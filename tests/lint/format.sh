#!/bin/sh
# Every .c and .h file is as clang-format and .clang-format leave it. `make format` puts it right.
set -eu
. "$(dirname "$0")/sources.sh"
command -v clang-format >/dev/null || { echo "format: clang-format is not installed"; exit 1; }
found=$(c_files | xargs clang-format --dry-run -Werror 2>&1) || {
    printf '%s\n' "$found" | grep ': error:' || printf '%s\n' "$found"
    exit 1
}
