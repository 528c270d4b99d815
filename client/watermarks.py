"""The acknowledgements a client owes: highest seq of each conversation and stage. Pure."""

from collections.abc import Mapping

from client.wire import Stage

Key = tuple[str, Stage]  # conversation id, stage


class Watermarks:
    """Coalesces acknowledgements, and keeps the last ones: those that died with a gateway are said again.

    Saying one again is harmless: the server keeps the highest.
    """

    def __init__(self, remembered: int = 1_000) -> None:
        self._remembered = remembered
        self._due: dict[Key, int] = {}
        self._said: dict[Key, int] = {}  # most recent last

    def advance(self, conversation_id: str, seq: int, stage: Stage) -> bool:
        """Note that everything up to `seq` has come this far. False where that was known."""
        key = (conversation_id, stage)
        if seq <= max(self._due.get(key, 0), self._said.get(key, 0)):
            return False
        self._due[key] = seq
        return True

    def take(self) -> Mapping[Key, int]:
        """Take what is to be said now."""
        taken, self._due = self._due, {}
        for key, seq in taken.items():
            self._said.pop(key, None)
            self._said[key] = seq
        while len(self._said) > self._remembered:
            del self._said[next(iter(self._said))]
        return taken

    def again(self) -> None:
        """After a lost connection: owe again what was said."""
        self._due = {**self._said, **self._due}
