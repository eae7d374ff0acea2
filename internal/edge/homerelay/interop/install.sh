#!/bin/sh
# Installs what the interoperability tests need into the given directory, and node and npm if there are none.
set -eu
dir=${1:?usage: install.sh DIRECTORY}
here=$(cd "$(dirname "$0")" && pwd)
command -v npm >/dev/null && command -v node >/dev/null || {
	apt-get update -q
	apt-get install -q -y nodejs npm
}
mkdir -p "$dir"
cp "$here"/peers/* "$dir"
npm install --prefix "$dir" --no-audit --no-fund
