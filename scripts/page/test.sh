#!/usr/bin/env bash
# Tests the chat page in headless Chromium: two people, two tabs.
# usage: test.sh <base-url> <screenshot.png> [<alice> <password> <bob> <password>]
set -euo pipefail
cd "$(dirname "$0")/../.."
node=target/interop/node
if [ ! -d "$node/node_modules/playwright-core" ]; then
  mkdir -p "$node"
  npm install --prefix "$node" --no-audit --no-fund --silent playwright-core
fi
NODE_MODULES="$PWD/$node/node_modules" exec timeout 120 node scripts/page/test.mjs "$@"
