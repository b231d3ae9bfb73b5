#!/bin/sh
# run.sh SECONDS [TARGET ...] - build each fuzz target (tests/fuzz/fuzz_*.c) and run it for so long,
# starting from tests/fuzz/corpus/. An input that fails is left in $BUILD/fuzz/. Without clang
# nothing can be run: that is said, and is no failure.
set -eu
cd "$(dirname "$0")/../.."
seconds=${1:-10}
[ $# -gt 0 ] && shift
build=${BUILD:-build}/fuzz
flags="-std=gnu11 -g -O1 -D_GNU_SOURCE -DREMUDA_SANITIZE -I. -fno-strict-aliasing"
# No bytes at all may be a NULL pointer and 0, and NULL + 0 is all that pointer-overflow finds here.
sanitize="-fsanitize=fuzzer,address,undefined -fno-sanitize=pointer-overflow -fno-sanitize-recover=undefined"

mkdir -p "$build"
echo 'int LLVMFuzzerTestOneInput(const char *d, unsigned long n) { return !d && n; }' >"$build/probe.c"
if ! clang -fsanitize=fuzzer "$build/probe.c" -o "$build/probe" 2>/dev/null; then
    echo "fuzz: skipped, there is no clang with libFuzzer (package clang)"
    exit 0
fi

# What a target is made of and linked with; shared/base goes into all.
sources_resp="worker/resp/*.c"
libs_resp=""
sources_config="config/*.c"
libs_config="-linih"
sources_value="worker/persist/*.c worker/keyspace/*.c worker/types/*.c worker/resp/*.c config/*.c shared/ipc/*.c"
libs_value="-linih -lev -llzf"
sources_rdb=$sources_value
libs_rdb=$libs_value
corpus_rdb="tests/fixtures" # files of real servers

[ $# -gt 0 ] || set -- $(ls tests/fuzz/fuzz_*.c | sed 's|.*/fuzz_||; s|\.c$||')
for target in "$@"; do
    eval "sources=\$sources_$target libs=\$libs_$target more=\${corpus_$target:-}"
    # shellcheck disable=SC2086
    clang $flags $sanitize "tests/fuzz/fuzz_$target.c" $sources shared/base/*.c \
        -o "$build/fuzz_$target" $libs -lisal -lxxhash -lpthread -lm
    mkdir -p "$build/found_$target"
    echo "fuzz: $target for $seconds s"
    # shellcheck disable=SC2086
    if ! "$build/fuzz_$target" -max_total_time="$seconds" -timeout=5 -rss_limit_mb=1024 \
        -max_len=8192 -verbosity=0 -print_final_stats=1 -artifact_prefix="$build/$target-" \
        "$build/found_$target" "tests/fuzz/corpus/$target" $more >"$build/$target.log" 2>&1; then
        tail -n 40 "$build/$target.log"
        echo "fuzz: $target FAILED; the input is $build/$target-*, in base64:"
        cat "$build/$target"-* | base64 | head -n 150
        exit 1
    fi
    sed -n 's/^stat::number_of_executed_units: */fuzz: inputs tried: /p' "$build/$target.log"
done
