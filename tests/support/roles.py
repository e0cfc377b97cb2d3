"""Who may come to a server, as the columns of the table of rights, and with what in hand."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

import httpx

from models.accounts.operator_actions import find_account, give_role, lock
from models.accounts.users import Credentials, PasswordChange, Role
from routes.access.visitor_cookie import COOKIE
from routes.http.services import Services
from tests.support.app_server import AppServer
from tests.support.belongings import PASSWORD, Person, somebody

Who = Literal[
    "anonymous",
    "visitor",
    "former user",
    "later user",
    "owner",
    "other user",
    "admin",
    "removed admin",
    "locked user",
    "signed-out user",
    "user with a new password",
    "deleted user",
]


@dataclass(frozen=True)
class Asker:
    """A peer that asks for what belongs to `of`."""

    of: Person
    token: str | None = None
    """Of the login that it has in hand, and which may have ended."""
    visitor: str | None = None
    """The key of the browser at which it sits."""

    def rest(self) -> httpx.Client:
        client = self.of.server.rest(None)
        if self.token is not None:
            client.headers["Authorization"] = f"Bearer {self.token}"
        if self.visitor is not None:
            client.cookies.set(COOKIE, self.visitor)
        return client

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must not be told: the visitor's id is known at its browser."""
        known = () if self.visitor is None else (self.of.visitor_id,)
        return tuple(each for each in self.of.secrets if each not in known)


Change = Callable[[Services, Person], Awaitable[None]]


async def asker(server: AppServer, who: Who) -> Asker:
    """Return such a peer, and a person whose belongings it asks for."""
    match who:
        case "anonymous":
            return Asker(await somebody(server))
        case "visitor":
            of = await somebody(server)
            return Asker(of, visitor=of.visitor)
        case "former user":
            former = await somebody(server)
            of = await somebody(server, visitor=former.visitor)
            return Asker(of, former.token, former.visitor)
        case "later user":
            of = await somebody(server)
            later = await somebody(server, visitor=of.visitor)
            return Asker(of, later.token, of.visitor)
        case "owner":
            of = await somebody(server)
            return Asker(of, of.token)
        case "other user":
            return Asker(await somebody(server), (await somebody(server)).token)
        case _:
            person = await admin(server)
            if who != "admin":
                await change(server, CHANGES[who], person)
            return Asker(await somebody(server), person.token)


async def admin(server: AppServer) -> Person:
    """Return a person whose token is that of an admin."""
    person = await somebody(server)
    await change(server, _made_admin, person)
    with server.rest(None) as rest:
        body = {"email": person.email, "password": PASSWORD}
        answer = await asyncio.to_thread(rest.post, "/api/auth/login", json=body)
    person.token = answer.json()["token"]
    return person


async def change(server: AppServer, work: Change, who: Person) -> None:
    """Do this to a person on a server, which has heard of it then."""

    async def run(services: Services) -> None:
        await work(services, who)
        await services.access.revocations.hear()

    await asyncio.to_thread(server.call, run)


async def _made_admin(services: Services, who: Person) -> None:
    await _change_role(services, who, "admin")


async def _removed_admin(services: Services, who: Person) -> None:
    await _change_role(services, who, "user")


async def _change_role(services: Services, who: Person, role: Role) -> None:
    db = services.access.accounts._db
    await give_role(db, (await find_account(db, who.email)).user, role, services.now())


async def _locked(services: Services, who: Person) -> None:
    db, now = services.access.accounts._db, services.now()
    await lock(db, (await find_account(db, who.email)).user, now, now + timedelta(hours=1))


async def _signed_out(services: Services, who: Person) -> None:
    identity = services.access.tokens.verify(who.token, services.now())
    await services.access.accounts.logout_everywhere(identity, services.now())


async def _changed_password(services: Services, who: Person) -> None:
    """By another login than that of the token."""
    credentials = Credentials(email=who.email, password=PASSWORD)
    other = await services.access.accounts.login(credentials, services.now())
    identity = services.access.tokens.verify(other.token, services.now())
    change = PasswordChange(current_password=PASSWORD, new_password="battery staple")
    await services.access.accounts.change_password(identity, change, services.now())


async def _deleted(services: Services, who: Person) -> None:
    async def prove() -> bool:
        return True

    await services.access.deletions.leave(
        services.access.tokens.verify(who.token, services.now()), prove
    )


CHANGES: dict[Who, Change] = {
    "removed admin": _removed_admin,
    "locked user": _locked,
    "signed-out user": _signed_out,
    "user with a new password": _changed_password,
    "deleted user": _deleted,
}
"""What happens to an admin whose token is out."""
