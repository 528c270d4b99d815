"""The message store on MongoDB."""

from history.mongo.reader import MongoReader
from history.mongo.writer import MongoWriter


class MongoMessageStore(MongoWriter, MongoReader):
    """`MessageStore` on a MongoDB replica set; `open` makes one."""
