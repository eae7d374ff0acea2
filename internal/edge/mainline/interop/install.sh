#!/bin/sh
# Installs what the interoperability tests need: Debian's python3-libtorrent, and npm's bittorrent-dht into the given directory.
set -eu
dir=${1:?usage: install.sh DIRECTORY}
here=$(cd "$(dirname "$0")" && pwd)
/usr/bin/python3 -c 'import libtorrent' 2>/dev/null || {
	apt-get update -q
	apt-get install -q -y python3-libtorrent
}
mkdir -p "$dir"
cp "$here"/peers/* "$dir"
npm install --prefix "$dir" --no-audit --no-fund
