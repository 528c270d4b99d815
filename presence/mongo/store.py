"""The presence store on MongoDB."""

from presence.mongo.devices import MongoDevices
from presence.mongo.profiles import MongoProfiles
from presence.mongo.sessions import MongoSessions


class MongoPresenceStore(MongoSessions, MongoDevices, MongoProfiles):
    """`PresenceStore` and `ProfileStore` on a MongoDB replica set; `open` makes one."""
