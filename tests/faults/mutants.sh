#!/usr/bin/env bash
# Whether the harness can fail: builds the operator once, in a scratch copy, with the faults of mutants.patch in it, and plays all
# families with each of them switched on until something is violated. Prints what caught it; a mutant that lives is a failure.
#
# tests/faults/mutants.sh [NAME...]
set -euo pipefail
cd "$(git rev-parse --show-toplevel)"
TARGET="${CARGO_TARGET_DIR:-$PWD/target}"
SCRATCH="$TARGET/mutants"

rm -rf "$SCRATCH/tree"
mkdir -p "$SCRATCH/tree"
git archive HEAD | tar -x -C "$SCRATCH/tree"
patch --quiet -p1 -d "$SCRATCH/tree" < tests/faults/mutants.patch
binary="$(cd "$SCRATCH/tree" && CARGO_TARGET_DIR="$SCRATCH/build" cargo test --locked --test faults --no-run 2>&1 | tee /dev/stderr | sed -n 's/.*(\(.*\)).*/\1/p' | tail -1)"

names=("$@")
((${#names[@]})) || mapfile -t names < <(grep -oE '^\+.*mutant\("[a-z0-9-]+"\)' tests/faults/mutants.patch | sed -E 's/.*mutant\("([a-z0-9-]+)"\).*/\1/' | sort -u)
lives=0
for name in "${names[@]}"; do
  # The names of traces are no invariants: what is only another request is not caught by that.
  if told="$(cd "$SCRATCH/tree" && MUTANT="$name" "$binary" --first --untraced)"; then
    printf '%-24s LIVES\n' "$name"
    lives=$((lives + 1))
  else
    plan="$(grep -m1 -E '^  [a-z0-9-]+(\+|$)' <<<"$told" | sed 's/^ *//')"
    what="$(grep -m1 -E '^    [A-Z a-z0-9]+:' <<<"$told" | sed 's/^ *//')"
    printf '%-24s %s | %s\n' "$name" "$what" "$plan"
  fi
done
exit "$((lives > 0))"
