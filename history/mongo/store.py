"""The message store on MongoDB."""

from history.mongo.alterations import MongoAlterations
from history.mongo.conversations import MongoConversations
from history.mongo.custody import MongoCustody
from history.mongo.finder import MongoFinder
from history.mongo.reader import MongoReader
from history.mongo.watermarks import MongoWatermarks
from history.mongo.writer import MongoWriter


class MongoMessageStore(
    MongoWriter, MongoWatermarks, MongoConversations, MongoAlterations, MongoReader, MongoFinder, MongoCustody
):
    """`MessageStore` on a MongoDB replica set; `open` makes one."""
