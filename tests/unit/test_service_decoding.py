"""Whatever a client of the service wire sends, its dialect gives requests or replies, or refuses; nothing else."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects import service_frames
from gateway.dialects.base import BadFrame, Reply, Request
from gateway.dialects.service import ServiceDialect
from tests.unit.test_service_vectors import dialect, packet

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=10,
)
FIELDS = sorted({name for kind in service_frames.KINDS.values() for name in kind.__struct_fields__})
DATA = st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=6) | JSON
EVENTS = st.sampled_from(sorted(service_frames.KINDS)) | st.text(max_size=12)
ACKS = st.sampled_from(["", "0", "27", "99999999999999999999"])
PACKETS = (
    st.builds(lambda event, data, ack: packet([event, data], ack=ack), EVENTS, DATA, ACKS)
    | st.builds(lambda list_, ack: packet(list_, ack=ack), st.lists(JSON, max_size=3), ACKS)
    | st.text()
    | st.builds(lambda head, tail: head + tail, st.sampled_from(["2", "2[", '27["typing",', "51-", "5"]), st.text())
    | st.none()
)


def outcome(service: ServiceDialect, frame: str | None) -> Sequence[object]:
    """Give what a packet comes to; no other error than a refusal."""
    try:
        return service.receive(frame)
    except BadFrame as bad:
        return service.refuse(bad.error.body(), reply_to=bad.reply_to)


@given(frames=st.lists(PACKETS, max_size=5))
def test_any_packets_of_a_registered_client_are_read_or_refused(frames: list[str | None]) -> None:
    service = dialect()
    for frame in frames:
        assert all(isinstance(each, Request | Reply | str) for each in outcome(service, frame))


@given(frame=PACKETS)
def test_any_packet_of_a_client_that_is_not_registered_is_read_or_refused(frame: str | None) -> None:
    assert all(isinstance(each, Request | Reply | str) for each in outcome(dialect(opened=False), frame))


@pytest.mark.parametrize(
    "frame", ['2["typing",{}]', '2["typing",{{"session_id":{}}}]', "2{}", '0{{"sid":"x","auth":{}}}']
)
def test_deep_nesting_is_refused(frame: str) -> None:
    deep = "[" * 50_000 + "]" * 50_000
    with pytest.raises(BadFrame):
        dialect().receive(frame.replace("{}", deep).replace("{{", "{").replace("}}", "}"))
