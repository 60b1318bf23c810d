#!/bin/bash
# format.sh - every C file in git looks as clang-format 14 writes it.
cd "$(dirname "$0")/.." || exit 1
mapfile -t files < <(if [ -f "${FILES:-}" ]; then cat "$FILES"; else git ls-files; fi | grep -E '\.(c|h|cu|cuh)$')
[ ${#files[@]} -gt 0 ] || { echo "FAIL no C files found"; exit 1; }
status=0
for f in "${files[@]}"; do
    clang-format --dry-run --Werror "$f" 2>/dev/null || { echo "FAIL $f is not formatted: make format"; status=1; }
done
[ $status = 0 ] && echo "ok   ${#files[@]} files are formatted"
exit $status
