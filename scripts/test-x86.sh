#!/usr/bin/env bash
# Runs on emulated x86-64 CPUs, by qemu-user, what must hold on every one: no instruction that the CPU lacks is executed
# (status 132 would tell), kernels it lacks are skipped, and the results are the same bits.
#
#   1. native_tests on CPUs of the levels x86-64-v1, v2 and v3, and on some whose AVX2 or FMA is masked out: --quick on
#      that of v3, --smoke on the others, which run nothing but the scalar kernels that it has run too (--all-quick: --quick
#      on all of them, each night);
#   2. the addon in Node: logits of the bundled model must be the bits that this machine's scalar kernel gives.
#
# qemu 7.2 emulates no AVX-512: that level runs natively where the machine has it (npm run test:native).
# Usage: scripts/test-x86.sh [--all-quick]    after `npm run build`. The last line reads "<n> passed, <n> failed".
set -uo pipefail
cd "$(dirname "$0")/.."

source scripts/checks.sh

if [ "$(uname -m)" != x86_64 ]; then
  printf 'This is no x86-64 machine: nothing to run.\n'
  finish
fi
command -v qemu-x86_64 >/dev/null || {
  fail "qemu-x86_64 is missing: apt-get install qemu-user"
  finish
}
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
cmake --build build --target native_tests --parallel "$(nproc)" >"$logs/build" 2>&1 || {
  tail -n 30 "$logs/build"
  fail "native_tests does not build; run npm run build first"
  finish
}

model=$(compgen -G "models/*.gguf" | head -n 1)
scope=--smoke
[ "${1:-}" = "--all-quick" ] && scope=--quick
# All of them are started at once, as many at a time as there are processors: NAME PROGRAM... writes logs/NAME and its status.
emulate() {
  local name=$1 cpu=${1#*:}
  shift
  timeout 900 qemu-x86_64 -cpu "$cpu" "$@" >"$logs/$name" 2>"$logs/$name.errors"
  echo $? >"$logs/$name.status"
}
one() {
  case $1 in
    tests:Haswell) emulate "$1" build/native_tests --quick ;;
    tests:*) emulate "$1" build/native_tests "$scope" ;;
    node:*) emulate "$1" "$node" test/neon/logits.js . "$model" auto ;;
  esac
}
node=$(command -v node)
export -f emulate one
export logs node model scope
printf '%s\n' tests:Haswell node:Haswell node:Nehalem tests:qemu64 tests:Nehalem tests:Haswell,-avx2 tests:Haswell,-fma |
  xargs -P "$(nproc)" -I{} bash -c 'one {}'

# LABEL CPU EXPECTED: "ok" or "skip" for avx2-i2s; AMX, AVX-512 and AVX-VNNI must be skipped on all of these.
check_cpu() {
  local label=$1 cpu=$2 log="$logs/tests:$2" name verdict counts
  grep '^FAIL' "$log"
  counts=$(grep -Eo '^[0-9]+ passed, [0-9]+ failed' "$log" | tail -n 1)
  if [ -z "$counts" ]; then
    fail "native_tests on $cpu ($label) ended with status $(<"$log.status") before its summary (132: illegal instruction)"
    return
  fi
  printf -- '-- %s (%s): %s\n' "$cpu" "$label" "$counts"
  passed=$((passed + ${counts%% *}))
  counts=${counts#*, }
  failed=$((failed + ${counts%% *}))
  for name in avx2-i2s avx-vnni-i2s avx512-vnni-i2s amx-int8-i2s; do
    verdict=skip
    [ "$name" = avx2-i2s ] && verdict=$3
    if grep -Eq "^$verdict +$name" "$log"; then ok "$cpu: $name: $verdict"; else fail "$cpu: $name: expected \"$verdict\""; fi
  done
}
check_cpu x86-64-v1 qemu64 skip
check_cpu x86-64-v2 Nehalem skip
check_cpu x86-64-v3 Haswell ok
check_cpu "v3 without AVX2" Haswell,-avx2 skip
check_cpu "v3 without FMA" Haswell,-fma skip

# Everything after the kernel's name must be equal.
expected=$(node test/neon/logits.js . "$model" scalar | cut -d ' ' -f 2-)
[ -n "$expected" ] || fail "logits of $model with this machine's scalar kernel"
for cpu in Nehalem Haswell; do
  actual=$(cut -d ' ' -f 2- "$logs/node:$cpu")
  if [ -n "$expected" ] && [ "$actual" = "$expected" ]; then
    ok "logits in Node on $cpu are the bits of scalar on this machine"
  else
    fail "logits in Node on $cpu differ from scalar on this machine: $(tail -n 5 "$logs/node:$cpu.errors")"
    printf 'expected:\n%s\nactual:\n%s\n' "$expected" "$actual"
  fi
done
finish
