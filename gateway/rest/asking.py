"""Wait for the answer to a command, for those who cannot be told later."""

import asyncio

from gateway.ingress import Command, Ingress, Outcome
from gateway.rest.refusals import Refused
from shared.commands import Alteration, SendMessage
from shared.events import Changed, Stored


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


async def alter(ingress: Ingress, command: Alteration) -> Changed:
    """Have something changed. Raises: Refused, with what came of it instead."""
    outcome = await ask(ingress, command)
    if not isinstance(outcome, Changed):
        raise Refused(outcome)
    return outcome
