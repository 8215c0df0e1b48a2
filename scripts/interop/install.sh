#!/usr/bin/env bash
# Installs what each client test needs, by package name and version, and only what is missing. Sourced by run.sh.

# shellcheck source=../lib/install.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/install.sh"

install_slixmpp() {
  need_pip "$1/venv" slixmpp==1.17.0
}

install_strophe() {
  need_apt chromium && need_npm "$1/node" strophe.js@5.0.0 playwright-core@1.55.1 ws@8.18.3
}

# The jars are those of smack/pom.xml; the classes are compiled anew when a source is newer than they are.
install_smack() {
  local dir=$1/smack source=$2
  command -v javac >/dev/null || need_apt default-jdk-headless || return
  need_mvn "$source/pom.xml" "$dir/lib" || return
  if [ ! -d "$dir/classes" ] || [ -n "$(find "$source" -name '*.java' -newer "$dir/classes")" ]; then
    rm -rf "$dir/classes"
    javac -Xlint:all,-processing,-classfile -d "$dir/classes" -cp "$dir/lib/*" "$source"/*.java
  fi
}
