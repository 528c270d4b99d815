"""Wait for the answer to a command, for those who cannot be told later."""

import asyncio

from gateway.ingress import Command, Ingress, Outcome
from shared.commands import SendMessage
from shared.events import Stored


class _Waiting:
    """An `Asker` that keeps the answer; nobody is there any more for what comes later."""

    def __init__(self) -> None:
        self.outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

    def answered(self, command: Command, outcome: Outcome, reply_to: str | None) -> None:
        if not self.outcome.done():  # the caller may have hung up
            self.outcome.set_result(outcome)

    def stored_later(self, command: SendMessage, stored: Stored) -> None:
        return


async def ask(ingress: Ingress, command: Command) -> Outcome:
    """Submit a command and give its one answer, which comes within five seconds. Cancelling does not call it back."""
    waiting = _Waiting()
    ingress.submit(command, waiting)
    return await waiting.outcome
