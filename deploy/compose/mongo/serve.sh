#!/bin/sh
# Serve one member of a replica set with access control, as an ordinary user. MONGO_KEY is what the members share.
set -eu
user=999 # mongodb's, in MongoDB's own image
umask 077
printf '%s' "$MONGO_KEY" >/tmp/key
chown "$user:$user" /tmp/key
[ "$(stat -c %u /data/db)" = "$user" ] || chown -R "$user:$user" /data/db
unset MONGO_KEY
exec setpriv --reuid "$user" --regid "$user" --clear-groups -- \
  mongod --quiet --replSet rs0 --keyFile /tmp/key --bind_ip_all --dbpath /data/db --wiredTigerCacheSizeGB 0.5
