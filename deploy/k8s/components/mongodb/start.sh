#!/bin/bash
# Starts a member of the replica set.
set -euo pipefail

data=/data/db
made=$data/administrator-made

# mongod wants a file of the owner's alone; a mounted secret is the group's, too.
install -m 400 /run/secrets/mongodb/keyfile /run/mongodb/keyfile

# The first member brings the administrator into the replica set; the others take over what it has.
if [[ $HOSTNAME == *-0 && ! -e $made ]]; then
    mongod --dbpath "$data" --bind_ip 127.0.0.1 --fork --logpath /tmp/first.log
    mongosh --quiet admin --eval '
        const { ROOT_USERNAME, ROOT_PASSWORD } = process.env;
        if (db.getUser(ROOT_USERNAME) === null)
            db.createUser({ user: ROOT_USERNAME, pwd: ROOT_PASSWORD, roles: ["root"] });'
    mongod --dbpath "$data" --shutdown
    touch "$made"
fi

exec mongod --dbpath "$data" --replSet warren --bind_ip_all --keyFile /run/mongodb/keyfile
