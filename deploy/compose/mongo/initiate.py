"""Make a MongoDB a replica set of one with two users: `admin`, and `warren`, who may read and write one database.

Idempotent. It runs beside MongoDB, since the first user is made by a client of the same host or not at all.
"""

import os
import sys
from collections.abc import Mapping
from typing import Any, TypeAlias

from pymongo import MongoClient
from pymongo.errors import ConnectionFailure, OperationFailure
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

Client: TypeAlias = MongoClient[dict[str, Any]]

ADDRESS = "mongodb://127.0.0.1:27017/?directConnection=true&serverSelectionTimeoutMS=2000"
DATABASE = "warren"
DEVELOPMENT_PASSWORD = "warren-development"
PATIENCE_S = 60.0
AUTHENTICATION_FAILED = 18
UNAUTHORIZED = 13
ALREADY_INITIALIZED = 23
USER_NOT_FOUND = 11


class NotPrimaryYet(Exception):
    """The set has no primary; it elects one within seconds."""


def refuse_development(environ: Mapping[str, str]) -> str:
    """Say which password is not for production; empty where all is well."""
    names = ("MONGO_ADMIN_PASSWORD", "MONGO_PASSWORD")
    bad = [f"WARREN_COMPOSE_{name}" for name in names if environ[name] == DEVELOPMENT_PASSWORD]
    if environ.get("WARREN_MODE") == "production" and bad:
        return f"WARREN_MODE=production needs passwords of your own: set {', '.join(bad)}."
    return ""


def prepare(member: str, admin_password: str, password: str) -> None:
    """Make what is missing. Raises: OperationFailure, AUTHENTICATION_FAILED where the data have another password."""
    with MongoClient[dict[str, Any]](ADDRESS) as first:
        _initiate(first, member, admin_password)
    with MongoClient[dict[str, Any]](ADDRESS, username="admin", password=admin_password) as admin:
        rights: dict[str, Any] = {"pwd": password, "roles": [{"role": "readWrite", "db": DATABASE}]}
        try:
            admin[DATABASE].command("updateUser", "warren", **rights)
        except OperationFailure as error:
            if error.code != USER_NOT_FOUND:
                raise
            admin[DATABASE].command("createUser", "warren", **rights)


def _initiate(client: Client, member: str, admin_password: str) -> None:
    try:
        client.admin.command("replSetInitiate", {"_id": "rs0", "members": [{"_id": 0, "host": member}]})
    except OperationFailure as error:
        if error.code not in (ALREADY_INITIALIZED, UNAUTHORIZED):  # unauthorized: it has its users already
            raise
    if not client.admin.command("hello")["isWritablePrimary"]:
        raise NotPrimaryYet
    try:
        client.admin.command("createUser", "admin", pwd=admin_password, roles=["root"])
    except OperationFailure as error:
        if error.code != UNAUTHORIZED:
            raise


def main(environ: Mapping[str, str]) -> int:
    """Prepare what the environment names, with patience. Gives the exit code."""
    if refusal := refuse_development(environ):
        sys.stderr.write(f"{refusal}\n")
        return 2
    member, passwords = environ["MONGO_MEMBER"], (environ["MONGO_ADMIN_PASSWORD"], environ["MONGO_PASSWORD"])
    try:
        for attempt in Retrying(
            retry=retry_if_exception_type((NotPrimaryYet, ConnectionFailure)),
            wait=wait_fixed(0.5),
            stop=stop_after_delay(PATIENCE_S),
            reraise=True,
        ):
            with attempt:
                prepare(member, *passwords)
    except OperationFailure as error:
        if error.code != AUTHENTICATION_FAILED:
            raise
        sys.stderr.write(
            "The database was made with another WARREN_COMPOSE_MONGO_ADMIN_PASSWORD: put that one into .env, or remove "
            "all data with `docker compose down -v`.\n"
        )
        return 1
    sys.stdout.write(f"The replica set of {member} has a primary and its users.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(os.environ))
