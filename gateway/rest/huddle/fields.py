"""The bodies and parameters of the huddle wire's REST API. Integers and strings stand for each other in all ids."""

from typing import Annotated, Literal

from fastapi import Query
from pydantic import BaseModel, Field

from gateway.rest.fields import MAX_URL_CHARS, PATTERN, IdOrNumber, Name, Text, TimeZone, Username, WebAddress
from gateway.rest.requests import MAX_BIO_CHARS
from shared.history_api import MAX_PAGE, MAX_SEARCH_CHARS

MAX_DESCRIPTION_CHARS = 1024
MAX_SKIP = 10_000

Description = Annotated[Text, Field(max_length=MAX_DESCRIPTION_CHARS)]
ChannelType = Literal["public", "private"]
GivenRole = Literal["owner", "admin", "member"]

Limit = Annotated[int, Query(ge=1, le=MAX_PAGE)]
Skip = Annotated[int, Query(ge=0, le=MAX_SKIP)]
Named = Annotated[str | None, Query(pattern=PATTERN)]
Wanted = Annotated[str, Query(pattern=PATTERN)]
SearchText = Annotated[Text, Query(min_length=1, max_length=MAX_SEARCH_CHARS)]


class Signed(BaseModel):
    """A body that clients may sign: a name that contradicts the token is refused."""

    author_id: IdOrNumber | None = None
    user_id: IdOrNumber | None = None


class ShortMessageWish(Signed):
    """The message to send to the channel in the path."""

    content: Text = ""
    parent_id: IdOrNumber | None = None
    client_id: Text | None = Field(None, min_length=1, max_length=128)
    attachment_url: Text | None = Field(None, max_length=MAX_URL_CHARS)
    attachment_type: Text | None = Field(None, max_length=128)
    attachment_name: Text | None = Field(None, max_length=256)
    attachment_size: int | None = Field(None, ge=0, le=2**53 - 1)


class MessageWish(ShortMessageWish):
    """The message to send."""

    channel_id: IdOrNumber


class MessagePatch(Signed):
    """What a message is to say."""

    content: Text


class ReadWish(BaseModel):
    """Up to which message the caller has read; without one: all."""

    last_read_message_id: IdOrNumber | None = None


class ChannelWish(BaseModel):
    """The channel to make; without a team it is in none. A direct one names the other user and nothing else."""

    name: Name | None = None
    description: Description | None = None
    type: ChannelType | Literal["direct"] = "public"
    topic: Description | None = None
    team_id: IdOrNumber | None = None
    user_id: IdOrNumber | None = None


class ChannelPatch(BaseModel):
    """What to change of a channel; what is absent stays as it is."""

    name: Name | None = None
    description: Description | None = None
    type: ChannelType | None = None
    topic: Description | None = None


class TeamWish(BaseModel):
    """The team to make."""

    name: Name
    description: Description | None = None
    avatar_url: WebAddress | None = None
    is_public: bool = False


class TeamPatch(BaseModel):
    """What to change of a team; what is absent stays as it is."""

    name: Name | None = None
    description: Description | None = None
    avatar_url: WebAddress | None = None
    is_public: bool | None = None


class MemberWish(BaseModel):
    """Who is to be a member."""

    user_id: IdOrNumber
    role: GivenRole | None = None


class RoleWish(BaseModel):
    """What a member is to be."""

    role: GivenRole


class InviteWish(BaseModel):
    """Whom to invite, by the email or the username of their account."""

    email: Text = Field(min_length=1, max_length=254)
    role: GivenRole | None = None


class UserPatch(BaseModel):
    """What to change of one's profile: what is absent stays as it is, what is null is taken away."""

    full_name: Name = Field(default_factory=str)  # cannot be taken away
    username: Username | None = None
    avatar_url: WebAddress | None = None
    bio: Text | None = Field(None, max_length=MAX_BIO_CHARS)
    timezone: TimeZone | None = None
