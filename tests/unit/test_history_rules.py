"""Who may do what in a conversation."""

from datetime import UTC, datetime

import msgspec
import pytest

from history.permissions import refuse
from history.reading import Hiding, LoggedMessage, Membership, Record, Tip
from history.scene import Scene
from shared.commands import (
    EMPTY_OBJECT,
    Alteration,
    ConversationKind,
    DeleteScope,
    JoinRule,
    MessageType,
    Role,
)
from shared.events import Message
from shared.history_api import Watermark
from shared.ids import ConversationId, MessageId, UserId
from tests.fakes.history_commands import add, delete, edit, react, remove, rename

AT = datetime(2026, 1, 1, tzinfo=UTC)
ROOM, SPACE = ConversationId("room"), ConversationId("space")
OWNER, ADMIN, WRITER, READER, LATE, LEFT, STRANGER = (
    UserId(name) for name in ("owner", "admin", "writer", "reader", "late", "left", "stranger")
)
M = MessageId("m")


def scene(
    kind: ConversationKind = ConversationKind.GROUP,
    *,
    join: JoinRule = JoinRule.INVITE,
    parent: ConversationId | None = None,
    owners: int = 1,
    deleted: bool = False,
    hidden_for: tuple[UserId, ...] = (),
    reactions: int = 0,
    of_each: int = 1,
) -> Scene:
    """A room with one of each: an owner, an admin, two members, one who joined after the message, one who left."""
    roles = {OWNER: Role.OWNER, ADMIN: Role.ADMIN}
    members = {
        user_id: Membership(Watermark(user_id=user_id), AT, roles.get(user_id, Role.MEMBER))
        for user_id in (OWNER, ADMIN, WRITER, READER)
    }
    members[LATE] = Membership(Watermark(user_id=LATE), AT, Role.MEMBER, first_seq=2, since_version=1)
    members[LEFT] = Membership(Watermark(user_id=LEFT), AT, Role.OWNER, left_version=2, left_seq=1, left_at=AT)
    message = Message(
        id=M,
        number=1,
        conversation_id=ROOM,
        seq=1,
        version=1,
        client_id="c",
        sender_id=WRITER,
        sender_name="",
        type=MessageType.TEXT,
        content="hi",
        created_at=AT,
        deleted_at=AT if deleted else None,
        reactions={f"e{n}": (READER,) * of_each for n in range(reactions)},
    )
    hidings = tuple(Hiding(user_id, 2, AT) for user_id in hidden_for)
    present = tuple(sorted(user_id for user_id, member in members.items() if member.present))
    record = Record(
        ROOM, 1, kind, present, AT, None, EMPTY_OBJECT, parent_id=parent, join=join, member_count=len(present)
    )
    return Scene(record, Tip(1, 2, AT), members, owners, frozenset({READER}), LoggedMessage(message, 1, None, hidings))


GROUP, OPEN = scene(), scene(join=JoinRule.OPEN)
INSIDE = scene(ConversationKind.CHANNEL, join=JoinRule.OPEN, parent=SPACE)
DIRECT, TWO_OWNERS = scene(ConversationKind.DIRECT), scene(owners=2)
HIDDEN = scene(hidden_for=(WRITER,))

RIGHTS: list[tuple[str, Scene, Alteration, str | None]] = [
    ("the sender edits", GROUP, edit(M, by=WRITER), None),
    ("the owner does not edit others' messages", GROUP, edit(M, by=OWNER), "forbidden"),
    ("the operator may edit", GROUP, edit(M, by=None), None),
    ("who has left edits nothing", GROUP, edit(M, by=LEFT), "not_a_member"),
    ("a stranger edits nothing", GROUP, edit(M, by=STRANGER), "not_a_member"),
    ("a deleted message is not edited", scene(deleted=True), edit(M, by=WRITER), "conflict"),
    ("a message hidden from its sender is not edited", HIDDEN, edit(M, by=WRITER), "not_found"),
    ("an edit mentions members", GROUP, msgspec.structs.replace(edit(M, by=WRITER), mentions=(LATE,)), None),
    ("not strangers", GROUP, msgspec.structs.replace(edit(M, by=WRITER), mentions=(STRANGER,)), "invalid"),
    ("the sender deletes for everyone", GROUP, delete(M, by=WRITER), None),
    ("so does an admin", GROUP, delete(M, by=ADMIN), None),
    ("and the owner", GROUP, delete(M, by=OWNER), None),
    ("not a plain member", GROUP, delete(M, by=READER), "forbidden"),
    ("nobody but the sender in a direct conversation", DIRECT, delete(M, by=OWNER), "forbidden"),
    ("the sender deletes what they hid", HIDDEN, delete(M, by=WRITER), None),
    ("anyone deletes for themselves", GROUP, delete(M, DeleteScope.ME, by=READER), None),
    ("not what they cannot see", GROUP, delete(M, DeleteScope.ME, by=LATE), "not_found"),
    ("the operator has no sight of their own", GROUP, delete(M, DeleteScope.ME, by=None), "invalid"),
    ("a member reacts", GROUP, react(M, by=READER), None),
    ("not to what they cannot see", GROUP, react(M, by=LATE), "not_found"),
    ("not to what is deleted", scene(deleted=True), react(M, by=READER), "conflict"),
    ("not to what they have hidden", HIDDEN, react(M, by=WRITER), "not_found"),
    ("not with nothing", GROUP, react(M, "", by=READER), "invalid"),
    ("not with a blank", GROUP, react(M, "a b", by=READER), "invalid"),
    ("not with a control character", GROUP, react(M, "a\x07", by=READER), "invalid"),
    ("not with a novel", GROUP, react(M, "x" * 33, by=READER), "invalid"),
    ("with a family", GROUP, react(M, "👨‍👩‍👧‍👦", by=READER), None),
    ("not with a 51st emoji", scene(reactions=50), react(M, by=READER), "too_large"),
    ("but with one that is there", scene(reactions=50), react(M, "e1", by=WRITER), None),
    ("not where ever so many have", scene(reactions=2, of_each=10_000), react(M, "e1", by=WRITER), "too_large"),
    ("but they may take it back", scene(reactions=2, of_each=10_000), react(M, "e1", by=READER, removed=True), None),
    ("the operator does not react", GROUP, react(M, by=None), "invalid"),
    ("the owner renames", GROUP, rename("x", by=OWNER, room=ROOM), None),
    ("so does an admin", GROUP, rename("x", by=ADMIN, room=ROOM), None),
    ("not a plain member", GROUP, rename("x", by=READER, room=ROOM), "forbidden"),
    ("nobody renames a direct conversation", DIRECT, rename("x", by=OWNER, room=ROOM), "invalid"),
    ("not even the operator", DIRECT, rename("x", by=None, room=ROOM), "invalid"),
    ("an admin adds members", GROUP, add(STRANGER, LEFT, by=ADMIN, room=ROOM), None),
    ("a plain member does not", GROUP, add(STRANGER, by=READER, room=ROOM), "forbidden"),
    ("nor join uninvited", GROUP, add(STRANGER, by=STRANGER, room=ROOM), "not_a_member"),
    ("into an open room a member adds", OPEN, add(STRANGER, by=READER, room=ROOM), None),
    ("and anyone joins", OPEN, add(STRANGER, by=STRANGER, room=ROOM), None),
    ("but adds nobody else", OPEN, add(STRANGER, LEFT, by=STRANGER, room=ROOM), "not_a_member"),
    ("and not as owner", OPEN, add(STRANGER, by=STRANGER, room=ROOM, role=Role.OWNER), "forbidden"),
    ("members of the space join", INSIDE, add(READER, by=READER, room=ROOM), None),
    ("others do not", INSIDE, add(STRANGER, by=STRANGER, room=ROOM), "not_a_member"),
    ("but an admin may invite them", INSIDE, add(STRANGER, by=ADMIN, room=ROOM), None),
    ("the owner gives roles", GROUP, add(READER, by=OWNER, room=ROOM, role=Role.OWNER), None),
    ("an admin does not", GROUP, add(READER, by=ADMIN, room=ROOM, role=Role.ADMIN), "forbidden"),
    ("nor to new members", GROUP, add(STRANGER, by=ADMIN, room=ROOM, role=Role.ADMIN), "forbidden"),
    ("what a member is already they may be told", GROUP, add(READER, by=WRITER, room=ROOM, role=Role.MEMBER), None),
    ("the last owner stays", GROUP, add(OWNER, by=OWNER, room=ROOM, role=Role.MEMBER), "conflict"),
    ("one of two may step down", TWO_OWNERS, add(OWNER, by=OWNER, room=ROOM, role=Role.MEMBER), None),
    ("nobody joins two others", DIRECT, add(STRANGER, by=OWNER, room=ROOM), "invalid"),
    ("a member leaves", GROUP, remove(READER, by=READER, room=ROOM), None),
    ("the last owner does not", GROUP, remove(OWNER, by=OWNER, room=ROOM), "conflict"),
    ("one of two does", TWO_OWNERS, remove(OWNER, by=OWNER, room=ROOM), None),
    ("the operator removes the last owner", GROUP, remove(OWNER, by=None, room=ROOM), None),
    ("the owner removes an admin", GROUP, remove(ADMIN, by=OWNER, room=ROOM), None),
    ("an admin removes a plain member", GROUP, remove(READER, by=ADMIN, room=ROOM), None),
    ("not the owner", GROUP, remove(OWNER, by=ADMIN, room=ROOM), "forbidden"),
    ("a plain member removes nobody", GROUP, remove(READER, by=WRITER, room=ROOM), "forbidden"),
    ("nor learns who is no member", GROUP, remove(STRANGER, by=WRITER, room=ROOM), "forbidden"),
    ("who has left does not leave again", GROUP, remove(LEFT, by=LEFT, room=ROOM), "not_a_member"),
    ("nobody leaves a direct conversation", DIRECT, remove(READER, by=READER, room=ROOM), "invalid"),
]


@pytest.mark.parametrize(("found", "command", "code"), [case[1:] for case in RIGHTS], ids=[case[0] for case in RIGHTS])
def test_rights(found: Scene, command: Alteration, code: str | None) -> None:
    error = refuse(command, found)
    assert (None if error is None else error.code.value) == code


def test_a_message_that_is_not_there_is_not_found() -> None:
    nothing = Scene(GROUP.record, GROUP.tip, GROUP.members)
    for command in (edit(M, by=WRITER), delete(M, by=None), react(M, by=READER)):
        error = refuse(command, nothing)
        assert error is not None
        assert error.code == "not_found"
