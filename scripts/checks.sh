# Counting of checks, for scripts that end with "<n> passed, <n> failed": `source` it.

passed=0
failed=0
# WHAT: a check that passed.
ok() {
  passed=$((passed + 1))
  printf 'ok   %s\n' "$1"
}
# WHAT: one that failed.
fail() {
  failed=$((failed + 1))
  printf 'FAIL %s\n' "$1"
}
# Ends the script: 0 where no check failed.
finish() {
  printf '%d passed, %d failed\n' "$passed" "$failed"
  [ "$failed" -eq 0 ]
  exit
}
