import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from history.documents import INDEXES

PROJECT = Path(__file__).parents[2]


def init(**environ: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "services.init"],
        cwd=PROJECT,
        env={"PATH": os.environ["PATH"], **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_init_job_prepares_both_and_may_run_again(amqp_vhost: str, mongo_url: str, mongo_database: str) -> None:
    environ = {
        "WARREN_AMQP_URL": amqp_vhost,
        "WARREN_MONGO_URL": mongo_url,
        "WARREN_MONGO_DATABASE": mongo_database,
        "WARREN_SHARDS": "2",
        "WARREN_LOG_FORMAT": "json",
    }
    for _ in range(2):
        done = init(**environ)
        assert done.returncode == 0, done.stdout + done.stderr
        assert '"event": "indexes_created"' in done.stdout
        assert '"event": "topology_declared"' in done.stdout
    client: MongoClient[dict[str, Any]] = MongoClient(mongo_url)
    with client:
        made = client[mongo_database]
        for index in INDEXES:
            keys = [tuple(found["key"]) for found in made[index.collection].list_indexes()]
            assert tuple(index.fields) in keys


@pytest.mark.parametrize("variable", ["WARREN_SHARDS", "WARREN_MONGO_TIMEOUT_S"])
def test_the_init_job_refuses_wrong_settings(variable: str) -> None:
    done = init(**{variable: "many"})
    assert done.returncode == 2
    assert variable in done.stderr
