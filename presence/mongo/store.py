"""The presence store on MongoDB."""

from presence.mongo.accounts import MongoAccounts
from presence.mongo.devices import MongoDevices
from presence.mongo.erasure import MongoErasure
from presence.mongo.here import MongoHere
from presence.mongo.positions import MongoPositions
from presence.mongo.profiles import MongoProfiles
from presence.mongo.sessions import MongoSessions


class MongoPresenceStore(
    MongoSessions, MongoHere, MongoDevices, MongoPositions, MongoProfiles, MongoAccounts, MongoErasure
):
    """The stores of presence on a MongoDB replica set; `open` makes one."""
