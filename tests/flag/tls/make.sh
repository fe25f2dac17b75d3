#!/bin/bash
# The certificates of these tests, which nobody trusts: an authority, and two servers' that follow each other. They last a hundred years.
set -euo pipefail
cd "$(dirname "$0")"
days=36500 work=$(mktemp -d)
trap 'rm -r "$work"' EXIT
key() { openssl ecparam -name prime256v1 -genkey -noout | openssl pkcs8 -topk8 -nocrypt -out "$1"; }
key "$work/ca.key"
openssl req -x509 -new -key "$work/ca.key" -days $days -subj "/CN=tests of the flags" -out ca.crt \
  -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign
for name in first second; do
  mkdir -p $name
  key $name/tls.key
  openssl req -new -key $name/tls.key -subj "/CN=$name" -out "$work/$name.csr"
  openssl x509 -req -in "$work/$name.csr" -CA ca.crt -CAkey "$work/ca.key" -CAcreateserial -CAserial "$work/serial" -days $days \
    -out $name/tls.crt -extfile <(printf '%s\n' 'subjectAltName=DNS:localhost,IP:127.0.0.1' 'extendedKeyUsage=serverAuth' \
      'basicConstraints=critical,CA:FALSE' 'authorityKeyIdentifier=keyid')
done
