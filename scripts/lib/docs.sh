#!/usr/bin/env bash
# The generated pages: `write` writes them, `check` says whether the written ones are fresh (one line of results, as test.sh counts).
#
# starling-tidy makes those that follow from the source (its own test checks them); the program prints config.md and cli.md.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT

# print PAGE ARGUMENT…: what the program prints for a page. An empty page is an error: the program does not know it yet.
print() {
  local page=$1
  shift
  cargo run --quiet -p starling-server --bin starling -- "$@" >"$made/$page" && [ -s "$made/$page" ] && return
  echo "starling $* prints nothing, so docs/reference/$page cannot be made" >&2
  return 1
}

pages=(config.md cli.md)
print_page() {
  case $1 in
    config.md) print config.md config doc ;;
    cli.md) print cli.md help --markdown ;;
  esac
}

case ${1-} in
  write)
    cargo run --quiet -p starling-tidy -- docs || exit 1
    code=0
    for page in "${pages[@]}"; do
      if print_page "$page"; then
        cp "$made/$page" "docs/reference/$page" && echo "wrote docs/reference/$page" >&2
      else
        code=1
      fi
    done
    exit $code
    ;;
  check)
    passed=0 failed=0
    for page in "${pages[@]}"; do
      [ -e "docs/reference/$page" ] || continue
      if print_page "$page" && diff -u "docs/reference/$page" "$made/$page"; then
        passed=$((passed + 1))
      else
        echo "docs/reference/$page is out of date: run \`make docs\`"
        failed=$((failed + 1))
      fi
    done
    echo "$passed passed, $failed failed"
    [ "$failed" = 0 ]
    ;;
  *)
    echo "usage: scripts/lib/docs.sh write|check" >&2
    exit 64
    ;;
esac
