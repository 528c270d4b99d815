"""Install a Debian package, without letting it start a system service."""

import os
import shutil
import subprocess

from deploy.local.processes import LocalError

# The policy keeps the package's scripts from starting a service: Warren runs a private node.
_SCRIPT = r"""
set -e
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' > "$policy"
    chmod 755 "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq || true  # one unreachable source need not matter
apt-get install -y -qq --no-install-recommends "$1"
if [ -n "$2" ] && [ -d /run/systemd/system ]; then
    systemctl disable --quiet "$2"
fi
"""


def install(package: str, *, service: str = "", otherwise: str) -> None:
    """Install a package as root or through sudo. Raises: LocalError, with `otherwise` as the advice."""
    if not shutil.which("apt-get"):
        raise LocalError(f"{package} is missing and this machine has no apt-get. {otherwise}")
    if os.geteuid() == 0:
        become_root: list[str] = []
    elif shutil.which("sudo"):
        become_root = ["sudo", "-n"]
    else:
        raise LocalError(f"{package} is missing; run `apt-get install {package}` as root. {otherwise}")
    print(f"Installing {package} (apt-get) …", flush=True)
    done = subprocess.run(
        [*become_root, "sh", "-c", _SCRIPT, "sh", package, service], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        end = "\n".join((done.stdout + done.stderr).splitlines()[-5:])
        raise LocalError(f"{package} is missing and could not be installed. {otherwise}\n{end}")
