"""CPU time by part of the system, of every process on this machine that belongs to one."""

import os

import psutil

GENERATOR = "generator"
OTHERS = "others"  # what else runs on the machine, kernel threads included: it should be next to nothing
_SERVICES = ("gateway", "history", "delivery", "presence")
_NODES = {"beam.smp": "rabbitmq", "mongod": "mongodb"}


class CpuMeter:
    """Reads the CPU seconds that each part has used so far."""

    def __init__(self, *, only_children: bool) -> None:
        me = psutil.Process()
        found = me.children(recursive=True) if only_children else psutil.process_iter()
        self._processes = [(part, process) for process in found if (part := _part(process)) is not None]
        self._processes.append((GENERATOR, me))

    def read(self) -> dict[str, float]:
        """Give user and system seconds, by part. Raises: psutil.NoSuchProcess (a part has died)."""
        used: dict[str, float] = {}
        for part, process in self._processes:
            times = process.cpu_times()
            used[part] = used.get(part, 0.0) + times.user + times.system
        machine = psutil.cpu_times()
        used[OTHERS] = sum(machine) - machine.idle - getattr(machine, "iowait", 0.0) - sum(used.values())
        return used

    def pids(self) -> dict[str, list[int]]:
        """Give the processes of each part, to look into with a profiler."""
        parts: dict[str, list[int]] = {}
        for part, process in self._processes:
            parts.setdefault(part, []).append(process.pid)
        return parts


def _part(process: psutil.Process) -> str | None:
    if process.pid == os.getpid():
        return None
    try:
        name, command = process.name(), process.cmdline()
    except psutil.Error:  # gone, or not ours
        return None
    if name in _NODES:
        return _NODES[name]
    return next((service for service in _SERVICES if f"services.{service}" in command), None)
