#!/bin/sh
# Starts the server of a test network. Runs at every start of the container, also of one that was made from
# an image of a stopped one: whatever it writes, it writes anew.
set -eu
umask 077
: "${SERVER_NAME:?set it to the name of this server, the part after the colon of user ids}"
authority=/complement/ca

certify() { # what openssl says is worth reading only if it fails
  openssl "$@" 2>/data/openssl.log || { cat /data/openssl.log >&2; exit 1; }
}

# The network's authority may be another one than at the last start, so the certificate is always new.
export OPENSSL_CONF=/etc/blaupause/openssl.cnf
certify req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$SERVER_NAME" \
  -keyout /data/tls.key -out /data/tls.csr
printf 'subjectAltName=DNS:%s\nbasicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth,clientAuth\n' \
  "$SERVER_NAME" >/data/tls.ext
certify x509 -req -sha256 -days 2 -set_serial "0x$(openssl rand -hex 8)" \
  -in /data/tls.csr -extfile /data/tls.ext -CA "$authority/ca.crt" -CAkey "$authority/ca.key" \
  -out /data/tls.crt

printf complement >/data/registration_secret
{
  printf '[server]\nname = "%s"\nlisten = ["0.0.0.0:8008"]\npublic_base_url = "http://%s:8008"\n\n' \
    "$SERVER_NAME" "$SERVER_NAME"
  cat /etc/blaupause/test-network.toml
} >/data/blaupause.toml

# In place of this shell: as process 1 the server gets the signal to stop.
exec /usr/local/bin/blaupause serve --config /data/blaupause.toml
