#!/usr/bin/env bash
# Installs what the client tests need, by package name, and only what is missing. Sourced by run.sh; works as root or through sudo.

SLIXMPP_VERSION=1.17.0

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

debian_package() {
  if [ -z "${APT_UPDATED:-}" ]; then
    as_root apt-get update -qq || return
    APT_UPDATED=1
  fi
  echo "installing $1"
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$1" >/dev/null
}

# need COMMAND PACKAGE: after it the command exists, or the call has failed.
need() {
  command -v "$1" >/dev/null || debian_package "$2"
}

install_slixmpp() {
  local venv=$1
  "$venv/bin/python" -c "import slixmpp, sys; sys.exit(slixmpp.__version__ != '$SLIXMPP_VERSION')" 2>/dev/null && return
  need python3 python3 || return
  python3 -c 'import ensurepip' 2>/dev/null || debian_package python3-venv || return
  python3 -m venv "$venv" &&
    "$venv/bin/pip" install --quiet --disable-pip-version-check "slixmpp==$SLIXMPP_VERSION"
}

# The versions are those of strophe/package.json.
install_strophe() {
  local dir=$1 manifest=$2
  need node nodejs && need npm npm && need chromium chromium || return
  cmp -s "$manifest" "$dir/installed.json" && return
  mkdir -p "$dir" &&
    cp "$manifest" "$dir/package.json" &&
    npm install --prefix "$dir" --no-package-lock --no-audit --no-fund --loglevel=error &&
    cp "$manifest" "$dir/installed.json"
}

# The jars are those of smack/pom.xml; the classes are compiled anew when a source is newer than they are.
install_smack() {
  local dir=$1 source=$2
  need javac default-jdk-headless && need mvn maven && mkdir -p "$dir" || return
  if ! cmp -s "$source/pom.xml" "$dir/installed.xml"; then
    rm -rf "$dir/lib"
    mvn -q -B -f "$source/pom.xml" org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies \
      -DoutputDirectory="$dir/lib" && cp "$source/pom.xml" "$dir/installed.xml" || return
  fi
  if [ ! -d "$dir/classes" ] || [ -n "$(find "$source" -name '*.java' -newer "$dir/classes")" ]; then
    rm -rf "$dir/classes"
    javac -Xlint:all,-processing,-classfile -d "$dir/classes" -cp "$dir/lib/*" "$source"/*.java
  fi
}
