"""Register, log in, log out, and who one is: for clients whose users have their password here."""

from typing import Annotated
from urllib.parse import parse_qsl

import msgspec
from fastapi import APIRouter, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from msgspec.structs import asdict
from pydantic import AliasChoices, BaseModel, Field, ValidationError

from gateway.rest.callers import Caller
from gateway.rest.fields import Name, Text
from gateway.rest.huddle.views import Said, UserView, user_view
from gateway.sign_in import Applicant, Granted, SignIn
from shared.http import StructResponse
from shared.presence_api import PresenceQueries, Profile

FORM = "application/x-www-form-urlencoded"
MAX_PASSWORD_CHARS = 1024  # hashing a longer one is only a burden
BEARER = "bearer"
NewUsername = Annotated[Text, Field(pattern=r"^[\w.-]{2,50}$")]  # in any script
Email = Annotated[Text, Field(pattern=r"^[^@\s]+@[^@\s]+$", max_length=254)]  # RFC 5321 §4.5.3.1.3
Password = Annotated[Text, Field(min_length=6, max_length=MAX_PASSWORD_CHARS)]


class Registering(BaseModel):
    """A new account."""

    username: NewUsername
    email: Email
    full_name: Name | None = Field(None, description="default: the username")
    password: Password


class LoggingIn(BaseModel):
    """A username, or the email of an account, and its password."""

    username: Annotated[Text, Field(max_length=254, validation_alias=AliasChoices("username", "email"))]
    password: Annotated[Text, Field(max_length=MAX_PASSWORD_CHARS)]


class TokenView(msgspec.Struct, frozen=True, kw_only=True):
    """A token, as OAuth 2.0 gives it (RFC 6749 §5.1)."""

    access_token: str
    token_type: str


class RegisteredView(UserView, frozen=True, kw_only=True):
    """A new user, signed in at once."""

    access_token: str
    token_type: str


def accounts_router(
    presence: PresenceQueries, sign_in: SignIn | None, *, route_class: type[APIRoute] = APIRoute
) -> APIRouter:
    """Make the routes; those that take passwords only with `sign_in`. `route_class` words their errors."""
    router = APIRouter(prefix="/api/v1/auth", tags=["accounts"], route_class=route_class, include_in_schema=False)
    if sign_in is not None:
        _take_passwords(router, sign_in)

    @router.get("/me", summary="Who the caller is")
    async def me(caller: Caller) -> Response:
        user_id = caller.user_id
        login = await presence.login_of(user_id)
        profile = (await presence.profiles([user_id])).get(user_id)
        here = (await presence.presence_of([user_id])).get(user_id)
        return StructResponse(user_view(user_id, profile, here, None if login is None else login.email))

    @router.post("/logout", summary="Let the token count no more, and end its sessions")
    async def logout(caller: Caller) -> Response:
        """Of a token that names no device nothing is known here: it counts until it expires."""
        if caller.device_id is not None:
            await presence.sign_out(caller.user_id, caller.device_id, known=False)
        return StructResponse(Said(message="Logged out."))

    return router


def _take_passwords(router: APIRouter, sign_in: SignIn) -> None:
    @router.post("/register", status_code=201, summary="Make an account, and sign its user in")
    async def register(wish: Registering, request: Request) -> Response:
        applicant = Applicant(wish.username, wish.email, wish.full_name or wish.username, wish.password)
        return StructResponse(_registered(await sign_in.register(applicant, _address(request))), status_code=201)

    @router.post("/login", summary="Get a token for a username and a password, as JSON or as a form")
    async def login(request: Request) -> Response:
        wish = await _logging_in(request)
        granted = await sign_in.sign_in(wish.username, wish.password, _address(request))
        return StructResponse(TokenView(access_token=granted.token, token_type=BEARER))


async def _logging_in(request: Request) -> LoggingIn:
    """Read JSON, whatever the client calls it, unless it says that it is a form."""
    body = await request.body()
    try:
        if request.headers.get("content-type", "").startswith(FORM):
            return LoggingIn.model_validate(dict(parse_qsl(body.decode(), keep_blank_values=True)))
        return LoggingIn.model_validate_json(body)
    except (ValidationError, ValueError) as error:
        raise RequestValidationError(_errors(error)) from error


def _errors(error: ValueError) -> list[dict[str, object]]:
    if not isinstance(error, ValidationError):
        return [{"type": "value_error", "loc": ("body",), "msg": "it must be text", "input": None}]
    return [{**each, "loc": ("body", *each["loc"]), "input": None} for each in error.errors()]


def _address(request: Request) -> str:
    return request.client.host if request.client is not None else ""


def _registered(granted: Granted) -> RegisteredView:
    login = granted.login
    profile = Profile(user_id=login.user_id, name=login.full_name, username=login.username, created_at=login.created_at)
    user = user_view(login.user_id, profile, None, login.email)
    return RegisteredView(**asdict(user), access_token=granted.token, token_type=BEARER)
