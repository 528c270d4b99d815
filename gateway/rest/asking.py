"""Have something changed by REST."""

from gateway.asking import ask
from gateway.ingress import Ingress
from gateway.rest.refusals import Refused
from shared.commands import Alteration
from shared.events import Changed


async def alter(ingress: Ingress, command: Alteration) -> Changed:
    """Have something changed. Raises: Refused, with what came of it instead."""
    outcome = await ask(ingress, command)
    if not isinstance(outcome, Changed):
        raise Refused(outcome)
    return outcome
