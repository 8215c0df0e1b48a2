#!/usr/bin/env bash
# The generated pages: `write` writes them, `check` says whether the written ones are fresh (one line of results, as test.sh counts).
#
# starling-tidy makes those that follow from the source and starling-model the tables of the session log (their own tests check
# them); the program prints the others, and the schema of the configuration that is a part of the chart's.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT

starling() {
  cargo run --quiet -p starling-server --bin starling -- "$@"
}

# help COMMAND…: its help, and that of each command below it.
help() {
  local text one
  text=$(starling "$@" --help) || return
  # shellcheck disable=SC2016 # Markdown
  printf '## starling%s\n\n```text\n%s\n```\n\n' "${*:+ $*}" "$text"
  while read -r one; do
    help "$@" "$one" </dev/null || return
  done < <(awk '/^Commands:/ { on = 1; next } /^$/ { on = 0 } on && $1 != "help" && /^  [a-z]/ { print $1 }' <<<"$text")
}

cli_page() {
  # shellcheck disable=SC2016 # Markdown
  printf '# Command line\n\nMade by `make docs` from what `--help` prints.\n\n'
  help
}

# print_page PAGE: an empty page is an error.
pages=(config.md limits.md api.md cli.md)
print_page() {
  case $1 in
    config.md) starling config doc ;;
    limits.md) starling config doc --limits ;;
    api.md) starling config doc --api ;;
    cli.md) cli_page ;;
  esac >"$made/$1" && [ -s "$made/$1" ] && return
  echo "the program does not print docs/reference/$1" >&2
  return 1
}

# chart_schema write|check: the configuration among the chart's values.
chart_schema() {
  starling config doc --schema | python3 scripts/k8s/schema.py "$1"
}

case ${1-} in
  write)
    cargo run --quiet -p starling-tidy -- docs || exit 1
    cargo run --quiet -p starling-model -- docs || exit 1
    code=0
    for page in "${pages[@]}"; do
      if print_page "$page"; then
        cp "$made/$page" "docs/reference/$page" && echo "wrote docs/reference/$page" >&2
      else
        code=1
      fi
    done
    chart_schema write || code=1
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
    if chart_schema check; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
    echo "$passed passed, $failed failed"
    [ "$failed" = 0 ]
    ;;
  *)
    echo "usage: scripts/lib/docs.sh write|check" >&2
    exit 64
    ;;
esac
