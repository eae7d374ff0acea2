#!/bin/sh
# What must hold on a Debian where the package has just arrived; see run.sh.
set -eu
export DEBIAN_FRONTEND=noninteractive
package=$(echo /root/relaymesh_*.deb)
config=/etc/relaymesh/config.yaml
data=/var/lib/relaymesh

trap '[ $? = 0 ] || journalctl --no-pager -u relaymesh -u relaymesh@fetcher | tail -n 30' EXIT
say() { printf '\n== %s\n' "$*"; }
fail() { echo "FAILED: $*"; exit 1; }

say install
apt-get install -qq -y -o Dpkg::Use-Pty=0 --no-install-recommends "$package"
systemctl cat relaymesh >/root/unit
grep -q '^ExecStart=/usr/bin/relaymesh up' /root/unit || fail "systemctl cat shows no unit"
systemctl is-enabled relaymesh && fail "installing it enabled it"
for program in relaymesh ingest dhtworker syncworker fetcher gateway; do
  $program --version
done

say the units
for unit in relaymesh.service relaymesh@ingest.service; do
  systemd-analyze verify --man=no $unit
  systemd-analyze security --offline=true --threshold=20 --no-pager $unit | tail -n 1
done

say run
cat >>$config <<EOF
allow-private: true # this network has no other addresses
dht-listen: 127.0.0.1:6881
dht-bootstrap: ["127.0.0.1:6881"]
dht-serve: true
EOF
relaymesh config --config $config | grep -q '127.0.0.1:6881' || fail "the configuration is not taken"
systemctl enable --now relaymesh # it says when it is ready
first=$(systemctl show --value -p MainPID relaymesh)
grep -q '^Uid:[[:space:]]*0' /proc/"$first"/status && fail "runs as root"
ls $data/ | grep -q . || fail "no data in $data"

say doctor
relaymesh doctor --config $config || fail "the doctor is not content"
systemctl stop relaymesh
relaymesh doctor --config $config --timeout 2s && fail "the doctor is content although nothing runs"
systemctl start relaymesh
first=$(systemctl show --value -p MainPID relaymesh)

say a worker
systemctl enable --now relaymesh@fetcher # over the NATS server of the one process
worker=$(systemctl show --value -p MainPID relaymesh@fetcher)
grep -q '^Uid:[[:space:]]*0' /proc/"$worker"/status && fail "a worker runs as root"

say upgrade
echo kept >$data/of-the-test
dpkg -i "$package"
grep -q 127.0.0.1:6881 $config || fail "the upgrade overwrote $config"
systemctl is-active relaymesh || fail "does not run after the upgrade"
[ "$(systemctl show --value -p MainPID relaymesh)" != "$first" ] || fail "the old version still runs"
[ "$(systemctl show --value -p MainPID relaymesh@fetcher)" != "$worker" ] || fail "the old version of a worker still runs"
[ "$(cat $data/of-the-test)" = kept ] || fail "the upgrade lost data"

say remove
dpkg -r relaymesh
systemctl is-active relaymesh relaymesh@fetcher && fail "runs although it was removed"
[ ! -e /usr/bin/relaymesh ] || fail "the binary is left"
[ -e $config ] || fail "removing it lost $config"
[ "$(cat $data/of-the-test)" = kept ] || fail "removing it lost data"

say purge
dpkg -P relaymesh
for left in /etc/relaymesh $data /var/lib/private/relaymesh* /usr/lib/systemd/system/relaymesh*; do
  [ ! -e $left ] || fail "$left is left"
done
systemctl cat relaymesh && fail "the unit is left"
say all is well
