#!/bin/bash
# Starts a member of the replica set.
set -euo pipefail

# mongod wants a file of the owner's alone; a mounted secret is the group's, too.
install -m 400 /run/secrets/mongodb/keyfile /run/mongodb/keyfile

# The image makes the administrator on an empty volume. The first member alone may: the others take over what it has.
case "$HOSTNAME" in
    *-0) ;;
    *) unset MONGO_INITDB_ROOT_USERNAME MONGO_INITDB_ROOT_PASSWORD ;;
esac

exec docker-entrypoint.sh mongod --replSet warren --bind_ip_all --keyFile /run/mongodb/keyfile
