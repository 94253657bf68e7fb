#!/usr/bin/env bash
# Runs clang-tidy (.clang-tidy) over native code; needs clang-tidy and CMake. Arguments: files, default all of native/ but the
# kernels of other architectures, which this machine's headers do not know.
set -euo pipefail
cd "$(dirname "$0")/.."
CXX="${TIDY_CXX:-clang++}" cmake -S . -B build-tidy -DBITNET_BUILD_ADDON="${TIDY_ADDON:-ON}" >/dev/null
if [ $# -eq 0 ]; then
  # What the build compiles here, as it compiles it.
  mapfile -t files < <(node -e '
    const commands = require("./build-tidy/compile_commands.json");
    for (const { file } of commands) if (/\/native\//.test(file) && !/\/native\/tests\//.test(file)) console.log(file);')
  set -- "${files[@]}"
fi
# All files, whatever was found in one; "<n> warnings generated." tells of system headers only.
status=0
printf '%s\n' "$@" | xargs -P "$(nproc)" -n 1 "${CLANG_TIDY:-clang-tidy}" -p build-tidy --quiet \
  2> >(grep -Ev '^[0-9]+ warnings? generated\.$' >&2) || status=$?
[ $status -eq 0 ] || {
  printf '%d files, with findings\n' $#
  exit 1
}
printf '%d files, no findings\n' $#
