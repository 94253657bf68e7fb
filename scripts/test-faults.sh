#!/usr/bin/env bash
# Injects faults: every n-th allocation, mapping and thread start in native code (under AddressSanitizer and
# LeakSanitizer; needs clang), then files, disks, signals and limits in processes that run the built package.
#
# MOST_FAULTS (default 200) bounds the native runs of one kind, FAULT_ROUNDS (default 25) the processes killed.
set -uo pipefail
cd "$(dirname "$0")/.."
status=0
cmake -S . -B build-fuzz -DBITNET_BUILD_ADDON=OFF -DBITNET_FUZZ=ON -DCMAKE_CXX_COMPILER="${FUZZ_CXX:-clang++}" >/dev/null &&
  cmake --build build-fuzz --target native_faults --parallel 2 >build-fuzz/faults.log 2>&1 || {
  tail -n 30 build-fuzz/faults.log
  exit 1
}
log=$(mktemp)
trap 'rm -f "$log"' EXIT
LLVM_PROFILE_FILE=/dev/null build-fuzz/native_faults --most "${MOST_FAULTS:-200}" 2>&1 | tee "$log" || status=1
npx jest --config jest.faults.config.js --runInBand "$@" 2>&1 | tee -a "$log" || status=1
# The native runs print a sum of their own, each test file one more.
injected=$(awk '/^[0-9]+ faults injected/ { sum += $1 } END { print sum + 0 }' "$log")
findings=$(awk '/^Tests:/ && /failed/ { for (i = 1; i < NF; i++) if ($(i + 1) == "failed,") sum += $i } END { print sum + 0 }' "$log")
[ $status -eq 0 ] || [ "$findings" -gt 0 ] || findings=1
echo "$injected faults injected, $findings findings"
exit $status
