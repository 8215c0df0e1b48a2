#!/usr/bin/env bash
# Installs by package name what is not there yet. To be sourced; works as root or through sudo.
#
#   need_apt chromium openssl          Debian packages; the list of packages is fetched only if something is missing
#   need_pip VENV slixmpp==1.17.0      Python packages, in a virtual environment of their own
#   need_npm FOLDER strophe.js@4.1.0   Node packages, below FOLDER/node_modules
#   need_mvn POM FOLDER                the dependencies of a pom.xml, as jars in FOLDER
#
# Each returns 0 only if what was asked for is there afterwards.

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

has_apt() {
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

need_apt() {
  local package missing=()
  for package in "$@"; do has_apt "$package" || missing+=("$package"); done
  [ ${#missing[@]} = 0 ] && return
  echo "installing ${missing[*]}" >&2
  # What is known may suffice; only if it does not, ask for news.
  apt_install "${missing[@]}" 2>/dev/null && return
  as_root apt-get update -qq && apt_install "${missing[@]}"
}

apt_install() {
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

need_pip() {
  local venv=$1 package missing=()
  shift
  if [ ! -x "$venv/bin/pip" ]; then
    python3 -c 'import ensurepip, venv' 2>/dev/null || need_apt python3 python3-venv || return
    python3 -m venv "$venv" || return
  fi
  for package in "$@"; do
    "$venv/bin/pip" freeze --all 2>/dev/null | grep -qix -- "${package/_/-}" || missing+=("$package")
  done
  [ ${#missing[@]} = 0 ] || "$venv/bin/pip" install --quiet --disable-pip-version-check "${missing[@]}"
}

need_npm() {
  local folder=$1 package name version there missing=()
  shift
  command -v npm >/dev/null || need_apt nodejs npm || return
  mkdir -p "$folder" || return
  for package in "$@"; do
    version=${package##*@} name=${package%@*}
    there=$(sed -n 's/^  "version": "\(.*\)",\{0,1\}$/\1/p' "$folder/node_modules/$name/package.json" 2>/dev/null)
    [ "$there" = "$version" ] || missing+=("$package")
  done
  [ ${#missing[@]} = 0 ] || npm install --silent --no-audit --no-fund --prefix "$folder" "${missing[@]}"
}

need_mvn() {
  local pom=$1 folder=$2 mark
  command -v mvn >/dev/null || need_apt maven default-jdk-headless || return
  mark=$folder/.$(cksum <"$pom" | cut -d ' ' -f 1)
  [ -e "$mark" ] && return
  rm -rf "$folder"
  mkdir -p "$folder" &&
    mvn -q -B -f "$pom" org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies \
      -DoutputDirectory="$(cd "$folder" && pwd)" && touch "$mark"
}
