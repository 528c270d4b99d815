"""The private RabbitMQ and MongoDB nodes keep what was written, wherever they listen."""

from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from deploy.local.mongodb import MongoNode
from deploy.local.processes import LocalError, free_port


def documents(node: MongoNode) -> int:
    client: MongoClient[dict[str, Any]] = MongoClient(node.url)
    with client:
        return client.test.things.count_documents({})


def test_mongodb_keeps_its_data_on_another_port(node_dir: Path) -> None:
    directory = node_dir / "moved"
    first, second = MongoNode(directory, free_port()), MongoNode(directory, free_port())
    try:
        first.start()
        client: MongoClient[dict[str, Any]] = MongoClient(first.url)
        with client:
            client.test.things.insert_one({"kept": True})
        first.kill()
        second.start()
        assert documents(second) == 1
    finally:
        first.stop()
        second.stop()


def test_a_node_does_not_take_another_for_itself(node_dir: Path, mongo_node: MongoNode) -> None:
    taken = MongoNode(node_dir / "taken", mongo_node.port)
    with pytest.raises(LocalError, match=f"Port {mongo_node.port}, which MongoDB wants, is taken"):
        taken.start()


def test_a_node_that_cannot_start_says_why(node_dir: Path) -> None:
    directory = node_dir / "broken"
    (directory / "data").mkdir(parents=True)
    (directory / "data" / "storage.bson").write_text("not a database")
    broken = MongoNode(directory, free_port())
    with pytest.raises(LocalError, match="MongoDB ended with code"):
        broken.start()
