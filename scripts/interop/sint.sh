#!/usr/bin/env bash
# Smack's own integration tests against the server, by hand: many test what this server does not have, and those are skipped.
#
#   scripts/interop/sint.sh target/quick/starling [-Dsinttest.enabledTests=… and the like]
#
# They know no port but 5222, so the server gets that one on a loopback address of its own. Left out: what needs XEP-0163, which
# the server does not have, and file transfers, where Smack's receiver answers the offer after the transfer.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
target=$(realpath "$here/../../target/interop")
# shellcheck source=install.sh
. "$here/install.sh"
# shellcheck source=server.sh
. "$here/server.sh"

program=${1-}
[ -x "$program" ] || { sed -n '2,7s/^# \{0,1\}//p' "$0"; exit 64; }
shift
mkdir -p "$target"
command -v java >/dev/null || need_apt default-jdk-headless || exit 1
need_apt openssl && need_mvn "$here/sint/pom.xml" "$target/sint" || exit 1
work=$(mktemp -d)
# shellcheck disable=SC2317 # called at the end
finish() {
  cp "$work/server.log" "$target/sint-server.log"
  stop_server
  rm -rf "$work"
}
# Accounts are registered over one connection that never signs in.
export STARLING_LIMITS_LOGIN_WITHIN=1h
start_server starling "$program" "$work" 127.0.52.22 5222 || exit 1
trap finish EXIT
trap 'exit 130' INT TERM

openssl s_client -connect "$INTEROP_HOST:$INTEROP_TLS_PORT" -servername "$DOMAIN" </dev/null 2>/dev/null |
  openssl x509 >"$work/cert.pem"
keytool -importcert -noprompt -alias server -file "$work/cert.pem" -keystore "$work/trust" -storepass trusted 2>/dev/null
timeout --kill-after=5 1200 java -Djavax.net.ssl.trustStore="$work/trust" -Djavax.net.ssl.trustStorePassword=trusted \
  -Dsinttest.service="$DOMAIN" -Dsinttest.host="$INTEROP_HOST" -Dsinttest.dnsResolver=javax -Dsinttest.replyTimeout=10000 \
  -Dsinttest.enabledConnections=tcp -Dsinttest.disabledSpecifications=XEP-0080,XEP-0107,XEP-0118 \
  -Dsinttest.disabledTests=FileTransferIntegrationTest "$@" \
  -cp "$target/sint/*" org.igniterealtime.smack.inttest.SmackIntegrationTestFramework 2>&1 | tee "$target/sint.log"
code=${PIPESTATUS[0]}
echo "the whole output: $target/sint.log, the server's: $target/sint-server.log"
exit "$code"
