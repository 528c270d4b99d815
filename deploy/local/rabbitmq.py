"""A private RabbitMQ node: its own name, ports, cookie and data, next to whatever else runs on the machine."""

import hashlib
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

from deploy.local import apt
from deploy.local.processes import LocalError, Process, free_port, require_free, spawn

_SCRIPTS = Path("/usr/lib/rabbitmq/bin")  # Debian's rabbitmq-server on the PATH wants to become another user
_OLDEST = (3, 10)  # the first whose quorum queues let messages expire
_VERSION = re.compile(rb"\x07versionS.{4}(?P<text>(\d+)\.(\d+)[\w.+-]*)", re.DOTALL)  # a field of connection.start
_PROTOCOL_HEADER = b"AMQP\x00\x00\x09\x01"  # AMQP 0-9-1 §4.2.2
_OTHERWISE = (
    "Choose one: set WARREN_AMQP_URL to a RabbitMQ of yours; install rabbitmq-server 3.10 or later yourself; or "
    "`docker run -p 5672:5672 rabbitmq:4` with WARREN_AMQP_URL=amqp://guest:guest@127.0.0.1:5672/."
)
_CONFIG = """\
listeners.tcp.1 = 127.0.0.1:{port}
log.file.level = warning
raft.wal_max_size_bytes = 67108864
"""
# No busy waiting, so that an idle node costs next to no CPU; no port that other machines can reach.
_ERL_ARGS = "+sbwt none +sbwtdcpu none +sbwtdio none -kernel inet_dist_use_interface {127,0,0,1} -start_epmd false"


def find_scripts() -> Path:
    """Give the folder of RabbitMQ's own scripts; installs the package where it is missing. Raises: LocalError."""
    if not _installed():
        apt.install("rabbitmq-server", service="rabbitmq-server", otherwise=_OTHERWISE)
    if (_SCRIPTS / "rabbitmq-server").exists():
        return _SCRIPTS
    found = shutil.which("rabbitmq-server")
    if found is None:
        raise LocalError(f"rabbitmq-server cannot be found. {_OTHERWISE}")
    return Path(found).resolve().parent


def _installed() -> bool:
    return (_SCRIPTS / "rabbitmq-server").exists() or shutil.which("rabbitmq-server") is not None


def greeting(port: int) -> bytes:
    """Give what a RabbitMQ on a port of 127.0.0.1 says to a new client; empty where none answers."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(_PROTOCOL_HEADER)
            return connection.recv(4096)
    except OSError:
        return b""


class RabbitNode:
    """One node over one data directory. What is durable survives a restart."""

    def __init__(self, data_dir: Path, port: int) -> None:
        self._dir = data_dir.absolute()
        self.port = port
        self._name = f"warren-{hashlib.sha256(str(self._dir).encode()).hexdigest()[:12]}@localhost"
        self._epmd_port = 0
        self._epmd: Process | None = None
        self._server: Process | None = None

    @property
    def url(self) -> str:
        """The node's AMQP address, default virtual host."""
        return f"amqp://guest:guest@127.0.0.1:{self.port}/"

    def start(self) -> None:
        """Start the node and wait until it speaks AMQP. Raises: LocalError."""
        self.launch()
        self.wait_ready()

    def launch(self) -> None:
        """Start the node's processes without waiting for them."""
        scripts = find_scripts()
        require_free(self.port, "RabbitMQ")
        self._dir.mkdir(parents=True, exist_ok=True)
        (self._dir / "rabbitmq.conf").write_text(_CONFIG.format(port=self.port))
        (self._dir / "enabled_plugins").write_text("[].\n")
        self._epmd_port = free_port()
        env = self._environment()
        epmd = shutil.which("epmd") or "epmd"
        listen = ["-address", "127.0.0.1", "-port", str(self._epmd_port)]
        self._epmd = spawn([epmd, *listen], log=self._dir / "epmd.log", env=env)
        # ALLOW_INPUT: the script becomes the Erlang VM, which stops in order on SIGTERM; -noinput: without a shell.
        self._server = spawn([str(scripts / "rabbitmq-server"), "-noinput"], log=self._dir / "server.log", env=env)

    def wait_ready(self) -> None:
        """Wait until the node speaks AMQP. Raises: LocalError."""
        assert self._server is not None, "launch first"
        self._server.wait_until(lambda: bool(greeting(self.port)), what="RabbitMQ")
        version = _VERSION.search(greeting(self.port))
        if version is not None and (int(version[2]), int(version[3])) < _OLDEST:
            raise LocalError(f"This machine's RabbitMQ is {version['text'].decode()}; Warren needs 3.10. {_OTHERWISE}")

    def stop(self) -> None:
        """Stop the node in order, and its port mapper."""
        self._end(Process.stop)

    def kill(self) -> None:
        """End the node as a crash would."""
        self._end(Process.kill)

    def add_vhost(self, name: str) -> str:
        """Make an empty virtual host; gives its AMQP address."""
        self._ctl("add_vhost", name)
        self._ctl("set_permissions", "--vhost", name, "guest", ".*", ".*", ".*")
        return self.url + name

    def _end(self, how: Callable[[Process], int]) -> None:
        for process in (self._server, self._epmd):
            if process is not None:
                how(process)

    def _ctl(self, *arguments: str) -> None:
        command = [str(find_scripts() / "rabbitmqctl"), "--quiet", *arguments]
        done = subprocess.run(command, env=self._environment(), capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise LocalError(f"rabbitmqctl {arguments[0]} failed:\n{done.stdout}{done.stderr}")

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "LANG": "C.UTF-8",
            "HOME": str(self._dir),  # the Erlang cookie is kept there
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_ALLOW_INPUT": "true",
            "RABBITMQ_NODENAME": self._name,
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_CONF_ENV_FILE": str(self._dir / "rabbitmq-env.conf"),
            "RABBITMQ_CONFIG_FILE": str(self._dir / "rabbitmq.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(self._dir / "advanced.config"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self._dir / "enabled_plugins"),
            "RABBITMQ_MNESIA_BASE": str(self._dir / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self._dir / "log"),
            "RABBITMQ_PID_FILE": str(self._dir / "pid"),
            "RABBITMQ_SCHEDULER_BIND_TYPE": "u",  # bound schedulers of several nodes would share one core
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": _ERL_ARGS,
        }
