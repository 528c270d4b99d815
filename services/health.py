"""Say by the exit code whether the service of this container is ready: the image's health check.

It runs every few seconds beside each service, so it imports next to nothing.
"""

import http.client
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

PORTS = {"gateway": 8100, "delivery": 8101, "presence": 8102, "history": 8103}  # the settings' defaults
TIMEOUT_S = 4.0  # readiness checks take up to 2 s
_SERVICE = re.compile(rb"services\.(\w+)")


def admin_port(command: bytes, environ: Mapping[str, str]) -> int | None:
    """Give the admin port of the service that a command line runs; None where that has none."""
    found = _SERVICE.search(command)
    name = found[1].decode() if found else ""
    if name not in PORTS:
        return None
    return int(environ.get(f"WARREN_{name.upper()}_ADMIN_PORT") or PORTS[name])


def failure(port: int) -> str:
    """Ask /readyz; give what it has to say where that is not success."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", "/readyz")
        response = connection.getresponse()
        return "" if response.status == http.client.OK else response.read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        return f"port {port}: {error}"
    finally:
        connection.close()


def main(command: bytes, environ: Mapping[str, str]) -> int:
    """Give the exit code: 0 ready, 1 not ready, which standard output explains."""
    port = admin_port(command, environ)
    if port is None:
        return 0  # a job, which is well as long as it runs
    said = failure(port)
    sys.stdout.write(said)
    return 1 if said else 0


if __name__ == "__main__":
    sys.exit(main(Path("/proc/1/cmdline").read_bytes(), os.environ))
