#!/bin/sh
# usage: [INCLUDE=PACKAGE,PACKAGE] run.sh SCRIPT FILE [NSPAWN-OPTION...]
# Runs a script on a fresh Debian that boots in a container without a network,
# in /root, where a copy of the file is. It needs root, debootstrap and
# systemd-nspawn (packages debootstrap and systemd-container).
set -eu
script=$1 file=$2
shift 2
for tool in debootstrap systemd-nspawn; do
  command -v $tool >/dev/null || { echo "it needs $tool: apt-get install debootstrap systemd-container" >&2; exit 1; }
done

. /etc/os-release
mirror=$(apt-get indextargets --format '$(CREATED_BY) $(CODENAME) $(COMPONENT) $(REPO_URI)' |
  awk -v suite="$VERSION_CODENAME" '$1 == "Packages" && $2 == suite && $3 == "main" { print $4; exit }')
[ -n "$mirror" ] || { echo "apt knows no mirror of $VERSION_CODENAME: see its sources" >&2; exit 1; }

root=$(mktemp -d)
chmod 755 "$root" # it becomes /, which the unit's user must pass
trap 'rm -rf --one-file-system "$root"' EXIT INT TERM
echo "run.sh: a fresh $VERSION_CODENAME"
debootstrap --variant=minbase --include="systemd,dbus${INCLUDE:+,$INCLUDE}" "$VERSION_CODENAME" "$root" "$mirror" >"$root.log" 2>&1 ||
  { tail -n 20 "$root.log" >&2; exit 1; }
rm -f "$root.log"
cp "$file" "$root/root/"
cp "$script" "$root/root/script.sh"
cat >"$root/etc/systemd/system/check.service" <<UNIT
[Service]
Type=oneshot
WorkingDirectory=/root
Environment=HOME=/root
ExecStart=/bin/sh -c '/bin/sh /root/script.sh >/root/log 2>&1; echo \$\$? >/root/status; systemctl --no-block exit'
TimeoutStartSec=25min
UNIT
mkdir -p "$root/etc/systemd/system/multi-user.target.wants"
ln -s ../check.service "$root/etc/systemd/system/multi-user.target.wants/"

# A network of its own, that is: loopback and nothing else.
timeout 1800 systemd-nspawn --quiet --directory="$root" --private-network --register=no --keep-unit --console=read-only \
  "$@" --boot systemd.unit=multi-user.target </dev/null >"$root/root/console" 2>&1 ||
  echo "run.sh: the container ended badly" >>"$root/root/console"
cat "$root/root/log" || cat "$root/root/console"
[ "$(cat "$root/root/status")" = 0 ]
