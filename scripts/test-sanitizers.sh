#!/usr/bin/env bash
# Runs native code under the compiler's sanitizers; any finding fails.
#
#   scripts/test-sanitizers.sh address   AddressSanitizer, LeakSanitizer and UndefinedBehaviorSanitizer: the native tests,
#                                        and the addon in Node: model formats, values of any kind, mixed traffic. Needs clang
#                                        (ASAN_CXX, default clang++): g++ 12 takes over ten minutes for one file of kernels
#   scripts/test-sanitizers.sh thread    ThreadSanitizer: the native tests, which stress pool, contexts, cancelling, closing
#                                        and loading
#   scripts/test-sanitizers.sh valgrind  valgrind's memcheck, which sees reads of uninitialised bytes too: the native tests of
#                                        what it can run (no AVX-512, no AMX)
#
# SECONDS_OF_TRAFFIC (default 20) is how long each of the addon's exercises runs. A step a line, with what it counted; the last
# line reads "<n> passed, <n> failed" (steps).
set -uo pipefail
cd "$(dirname "$0")/.."
kind=${1:?address, thread or valgrind}
seconds=${SECONDS_OF_TRAFFIC:-20}
passed=0
failed=0

# NAME COMMAND...: says in a line how it went, by what the command counted itself; where it failed, the end of what it wrote.
step() {
  local name=$1 started=$SECONDS log counted
  shift
  log=$(mktemp)
  if "$@" >"$log" 2>&1; then
    passed=$((passed + 1))
    counted=$(grep -E '[0-9]+ (passed|inputs)|^[0-9]+ requests' "$log" | tail -n 1 | sed 's/^ *//')
    printf 'ok   %s (%d s)%s\n' "$name" $((SECONDS - started)) "${counted:+: $counted}"
  else
    failed=$((failed + 1))
    tail -n 60 "$log"
    printf 'FAIL %s (%d s)\n' "$name" $((SECONDS - started))
  fi
  rm -f "$log"
}

# FOLDER SANITIZERS ADDON [OPTION OF CMAKE...]
build() {
  local folder=$1 sanitizers=$2 addon=$3
  shift 3
  # cmake-js is not needed: CMake asks node for the headers itself.
  cmake -S . -B "$folder" -DBITNET_SANITIZE="$sanitizers" -DBITNET_BUILD_ADDON="$addon" \
    -DCMAKE_LIBRARY_OUTPUT_DIRECTORY="$PWD/$folder/build/Release" "$@" &&
    cmake --build "$folder" --target native_tests --parallel 2 &&
    { [ "$addon" = OFF ] || cmake --build "$folder" --target node_bitnet --parallel 2; }
}

case $kind in
  address)
    folder=build-asan
    compiler=${ASAN_CXX:-clang++}
    # The run-time library (UBSan's is in it) is shared, so that Node, which knows nothing of it, can load it first.
    runtime=$("$compiler" -print-file-name="libclang_rt.asan-$(uname -m).so")
    step "build" build $folder address,undefined ON -DCMAKE_CXX_COMPILER="$compiler" -DCMAKE_CXX_FLAGS=-shared-libasan \
      -DCMAKE_BUILD_RPATH="$(dirname "$runtime")"
    export UBSAN_OPTIONS=print_stacktrace=1
    # Huge sizes are asked for on purpose.
    export ASAN_OPTIONS=allocator_may_return_null=1:detect_stack_use_after_return=1
    step "native tests" $folder/native_tests --quick
    # Node frees little at its end, so leaks of the addon are looked for by the native tests and the fault injection.
    export NODE_BITNET_PREBUILD="$PWD/$folder" ASAN_OPTIONS=$ASAN_OPTIONS:detect_leaks=0
    in_node() { LD_PRELOAD="$runtime" node -r @swc-node/register "$@"; }
    step "the addon was built with AddressSanitizer" in_node -e '
      const path = require("./lib/addon").addonPath();
      if (!path.includes("build-asan")) throw new Error(`loaded ${path}`);'
    step "weight formats" env LD_PRELOAD="$runtime" npx jest --silent -w 1 test/engine/weight_formats test/engine/gptq
    step "values of any kind" in_node test/fuzz/run.ts addon "$seconds" 7
    step "damaged models" in_node test/fuzz/run.ts model "$seconds" 7
    step "mixed traffic" in_node --expose-gc bench/soak/index.ts --leaks off --minutes "$(node -p "$seconds / 60")"
    ;;
  thread)
    folder=build-tsan
    step "build" build $folder thread OFF
    export TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1
    step "native tests" $folder/native_tests --quick --threads
    ;;
  valgrind)
    folder=build-valgrind
    # No sanitizer changes the code here: what the compiler warns of is a finding too.
    cmake -S . -B $folder -DBITNET_BUILD_ADDON=OFF -DCMAKE_COMPILE_WARNING_AS_ERROR=ON >/dev/null
    step "build" cmake --build $folder --target native_tests --parallel 2
    # The handler of SIGBUS returns into the code that met it, so registers must be right at each access.
    step "native tests" valgrind --quiet --error-exitcode=9 --leak-check=full --errors-for-leak-kinds=definite \
      --fair-sched=yes --vex-iropt-register-updates=allregs-at-mem-access $folder/native_tests --quick --threads
    ;;
  *)
    printf 'address, thread or valgrind, not %s\n' "$kind"
    exit 2
    ;;
esac
printf 'findings of %s: %s\n' "$kind" "$([ "$failed" -eq 0 ] && echo none || echo "in $failed steps, see above")"
printf '%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ]
