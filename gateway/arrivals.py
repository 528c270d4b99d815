"""What a gateway does when its queue was opened: whatever came before is lost to the queue, not to history."""

from gateway.accounts import Accounts
from gateway.announcer import Announcer
from gateway.catch_up import CatchUps
from gateway.hub import Hub
from gateway.ingress import Ingress
from gateway.presences import Presences


class Arrivals:
    """Follows the queue of this gateway: it is new each time it is opened, and empty."""

    def __init__(
        self,
        hub: Hub,
        announcer: Announcer,
        catch_ups: CatchUps,
        ingress: Ingress,
        accounts: Accounts,
        presences: Presences,
    ) -> None:
        self._hub = hub
        self._announcer = announcer
        self._catch_ups = catch_ups
        self._ingress = ingress
        self._accounts = accounts
        self._presences = presences
        self._opened_before = False

    async def reopened(self) -> None:
        """Catch up every session, tell everybody of all of them, ask again for answers. Raises: Unavailable.

        What presence told of users is asked for again as well.
        """
        self._accounts.forget()
        self._presences.request()
        for session in self._hub:
            self._catch_ups.request(session.feed)
        if not self._opened_before:  # a gateway of this name that was killed holds no session any more
            await self._announcer.stopped()
            self._opened_before = True
        await self._announcer.announce_all()
        self._ingress.post_again()
