#!/bin/sh
# usage: keys.sh DIR
# Makes all keys for overlays/ha in DIR, those that are not there yet: an nkey for
# the operator, each stage, the console, gateways and one relay that feeds them, a
# certificate authority, and a certificate of NATS by it. secrets.yaml is what
# kubectl apply takes. It needs relaymesh, nk (go install
# github.com/nats-io/nkeys/nk@latest) and openssl.
# Keep DIR where nobody reads it: *.nk and *.key are secret, and so is secrets.yaml.
set -eu
umask 077
[ $# = 1 ] || { sed -n 's/^# //; 2p' "$0" >&2; exit 2; }
for tool in relaymesh nk openssl; do
  command -v $tool >/dev/null || { echo "keys.sh: $tool is missing, see the head of $0" >&2; exit 1; }
done
mkdir -p "$1"
cd "$1"

stages="ingest dhtworker syncworker fetcher console"
feeders="relay gateway"
for user in operator $stages $feeders; do
  [ -s $user.nk ] || nk -gen user >$user.nk
  [ $user = operator ] || relaymesh nats-permissions $user >$user.conf
done
relaymesh nats-permissions pipeline >pipeline.conf
relaymesh nats-permissions feeders >feeders.conf

public() { nk -inkey "$1.nk" -pubout; }
{
  echo 'accounts {'
  echo '  RELAYMESH {'
  echo '    jetstream: enabled'
  echo '    include pipeline.conf'
  echo '    users: ['
  echo "      { nkey: $(public operator) }"
  for user in $stages; do
    echo "      { nkey: $(public $user), permissions { include $user.conf } }"
  done
  echo '    ]'
  echo '  }'
  echo '  FEEDERS {'
  echo '    include feeders.conf'
  echo '    users: ['
  for user in $feeders; do
    echo "      { nkey: $(public $user), permissions { include $user.conf } }"
  done
  echo '    ]'
  echo '  }'
  echo '}'
} >accounts.conf

# Ten years for the authority, two for what it signs: remove tls.crt and run this
# again to renew that.
if [ ! -s ca.crt ]; then
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout ca.key -out ca.crt -days 3650 \
    -subj /CN=relaymesh-nats -addext 'basicConstraints=critical,CA:TRUE' -addext 'keyUsage=critical,keyCertSign,cRLSign' 2>/dev/null
fi
if [ ! -s tls.crt ]; then
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout tls.key -out tls.csr -subj /CN=nats 2>/dev/null
  printf '%s\n' 'subjectAltName=DNS:nats.nats.svc.cluster.local,DNS:nats.nats.svc,DNS:nats.nats,DNS:*.nats-headless.nats.svc.cluster.local,DNS:localhost' \
    'extendedKeyUsage=serverAuth,clientAuth' >tls.ext
  openssl x509 -req -in tls.csr -CA ca.crt -CAkey ca.key -CAcreateserial -out tls.crt -days 730 -extfile tls.ext 2>/dev/null
  rm -f tls.csr tls.ext ca.srl
fi

# secret NAMESPACE NAME KEY=FILE...
secret() {
  printf -- '---\napiVersion: v1\nkind: Secret\nmetadata: {name: %s, namespace: %s}\ndata:\n' "$2" "$1"
  shift 2
  for pair in "$@"; do
    printf '  %s: %s\n' "${pair%%=*}" "$(base64 <"${pair#*=}" | tr -d '\n')"
  done
}
{
  for user in operator $stages gateway; do
    secret relaymesh nats-$user seed=$user.nk ca.crt=ca.crt
  done
  secret nats nats-tls tls.crt=tls.crt tls.key=tls.key ca.crt=ca.crt
  secret nats nats-accounts $(for name in accounts pipeline feeders $stages $feeders; do echo $name.conf=$name.conf; done)
} >secrets.yaml
echo "$PWD/secrets.yaml"
