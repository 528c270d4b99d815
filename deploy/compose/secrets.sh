#!/bin/sh
# Write the secrets of the Compose stack that a file (.env) does not have yet: random, for this machine alone.
set -eu
file=${1:-.env}
umask 077
[ -e "$file" ] || cat >"$file" <<'END'
# Secrets of this machine; .env.example lists what else may be set here.
# For development: a client of the devices wire is believed without a token. Take it away before others can reach this.
WARREN_GATEWAY_OPEN_DEVICES=true
END
[ -z "$(tail -c 1 "$file")" ] || echo >>"$file" # the last line has no end
for name in WARREN_JWT_SECRET WARREN_ADMIN_TOKEN WARREN_INTERNAL_TOKEN WARREN_COMPOSE_RABBITMQ_PASSWORD \
  WARREN_COMPOSE_MONGO_PASSWORD WARREN_COMPOSE_MONGO_ADMIN_PASSWORD WARREN_COMPOSE_MONGO_KEY WARREN_COMPOSE_GRAFANA_PASSWORD; do
  grep -q "^$name=." "$file" || echo "$name=$(od -vAn -N24 -tx1 /dev/urandom | tr -d ' \n')" >>"$file"
done
