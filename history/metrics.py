"""What history counts."""

from prometheus_client import Counter, Histogram

MESSAGES = Counter("warren_history_messages_total", "SendMessage commands handled.", ("result",))
for _result in ("stored", "repeated", "refused"):
    MESSAGES.labels(_result)

RECEIPTS = Counter("warren_history_receipts_total", "Acknowledge commands handled.", ("result",))
for _result in ("advanced", "unchanged", "refused"):
    RECEIPTS.labels(_result)

CONVERSATIONS = Counter("warren_history_conversations_total", "CreateConversation commands handled.", ("result",))
for _result in ("created", "there", "refused"):
    CONVERSATIONS.labels(_result)

ALTERATIONS = Counter("warren_history_alterations_total", "Commands of changes handled.", ("change", "result"))
for _change in ("edit", "delete", "reaction", "conversation", "members", "removal"):
    for _result in ("changed", "repeated", "unchanged", "refused"):
        ALTERATIONS.labels(_change, _result)

SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
BATCH = Histogram("warren_history_batch_messages", "Messages stored at once.", buckets=SIZES)
APPEND = Histogram("warren_history_append_duration_seconds", "Storing one batch.", buckets=SECONDS)
ALTER = Histogram("warren_history_alter_duration_seconds", "Carrying out one change.", buckets=SECONDS)

EXPIRED = Counter("warren_history_entries_expired_total", "Entries of logs removed because they were too old.")
