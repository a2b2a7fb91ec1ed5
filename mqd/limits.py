"""Every bound in the program, with its unit and the reason for its value.

Decides numbers only. A bound that an operator may change is a row in `mqd.config.schema`, whose
default is taken from here.
"""

from __future__ import annotations

from typing import Final

CHANNEL_MAX: Final = 2047  # RabbitMQ 3.10 default
FRAME_BYTES_MAX: Final = 131_072  # RabbitMQ 3.10 default, whole frame
FRAME_BYTES_MIN: Final = 4096  # AMQP 0-9-1 §2.3.5 frame-min-size
FRAME_SLACK_BYTES: Final = (
    8  # 3.10.8 forgets the envelope: clients that do so too get along with it
)
HEARTBEAT_S: Final = 60
HANDSHAKE_TIMEOUT_MS: Final = 10_000
MESSAGE_BYTES_MAX: Final = 134_217_728  # 3.10 default; hard cap 512 MiB
MESSAGE_BYTES_HARD_MAX: Final = 536_870_912
SHORTSTR_BYTES_MAX: Final = 255

READ_BYTES_MAX: Final = 131_072  # one read of one connection: bounds how long a turn can take
READ_LARGE_BYTES_MAX: Final = 524_288  # the same while a large body comes in
KEPT_BYTES_MAX: Final = 262_144  # for channels of one connection that wait: it is read no further
WRITE_HIGH_WATER_BYTES: Final = 1_048_576  # above it a consumer is offered nothing more
WRITE_LOW_WATER_BYTES: Final = 262_144
WRITE_HIGH_WATER_BYTES_MIN: Final = 65_536  # what it is lowered to when too much waits in all
WRITE_TOTAL_BYTES_MAX: Final = 33_554_432  # of all connections; a quarter of the room, if less
WRITE_STOP_BYTES: Final = 33_554_432  # above it a peer that reads nothing is not read either
ANSWER_BYTES_MAX: Final = 4_194_304  # of one turn to one peer: the next requests wait for it

ROUTE_CACHE_ENTRIES_MAX: Final = 4096  # per channel: (exchange, routing key) pairs seen
PERMISSION_CACHE_ENTRIES_MAX: Final = 65_536  # per node: (user, resource, permission) answers
QUEUE_MEMORY_MESSAGES_MAX: Final = 16_384  # per queue: beyond it the tail goes to disc pages
QUEUE_MEMORY_BYTES_MAX: Final = 16_777_216
ROOM_STEP_BYTES_MIN: Final = 16_384  # per queue: what it keeps in memory without asking for room
PAGE_MESSAGES_MAX: Final = 4096  # one disc page of a queue's backlog
PAGE_BYTES_MAX: Final = 2_097_152
RECENT_HISTORY_BYTES_MAX: Final = 67_108_864  # per exchange, however long its history may be

CONTROL_MESSAGE_BYTES_MAX: Final = 67_108_864  # one gRPC message: imported definitions are large
CONTROL_GRACE_S: Final = 1.0  # what calls under way get when the control socket closes
CONTROL_CALLS_MAX: Final = 256  # at a time; waiting verbs hold one each
CONTROL_ROWS_MAX: Final = 500  # rows of a listing in one message: a turn stays short
PEER_SESSIONS_MAX: Final = 1024  # callers over TCP at a time, those that have not proven included
PEER_CONNECTIONS_MAX: Final = 512  # of members and of tools on other machines
PEER_STREAMS_MAX: Final = 32  # calls at a time on one of them
PEER_PREFACE_MS: Final = 5000  # in which a connection says that it speaks HTTP/2
PEER_IDLE_MS: Final = 10_000  # in which it asks for something, after it has been answered too
PEER_REFUSAL_TOLD_MS: Final = 1000  # how often the log has that strangers are sent away
PEER_ANSWER_S: Final = 2.0  # in which another node tells who it is, else it counts as down
PEER_CHANGE_S: Final = 30.0  # in which a member admits or strikes out another one
PEER_PLACES_MAX: Final = 4  # at which one is looked for that is not where it was
METADATA_COPY_BYTES_MAX: Final = 1_073_741_824  # of a whole cluster's, once unpacked
PEER_LOOK_S: Final = 0.25  # how soon those that are waited for at a start are asked again
RECORD_RETRY_S: Final = 5.0  # how soon a record of the cluster that the disc refused is written
PRESENCE_TOLD_S: Final = 1.0  # a member that does not hear within it that this one runs: later
JOINED_S: Final = 60.0  # in which the metadata comes from another member at a start
HAND_OVER_S: Final = 10.0  # what an orderly stop waits for another member to take over
PROVED_S: Final = 25.0  # what a tool waits for a majority, as changes of the metadata do
MET_S: Final = 1.0  # what the start of a member waits to be told that the others run
WHOLE_LOOK_S: Final = 2.0  # how late a member notices that its copies are whole, or are not
COPIED_S: Final = 20.0  # what the start of a disc member waits for others to have copies
ENGINE_CALM_S: Final = 1.0  # after the start of an app, before its engine follows the members
ENGINE_READY_S: Final = 30.0  # in which voters elect a leader: it takes up to 9 s, and again
ENGINE_ASK_S: Final = 20.0  # in which another member has started its server
META_COPIES_MAX: Final = 5
PARTITION_LOOK_S: Final = 2.0  # how soon others are asked again about a member out of sight
OVERTAKEN_LOOK_S: Final = 5.0  # how soon a member that is refused is asked again why
SHARDS_STOP_S: Final = 4.0  # in which other members write what one that stops wrote
PEER_SESSION_MS: Final = 60_000  # in which a session may begin calls; they may last longer

REMOTE_PENDING_BYTES_MAX: Final = (
    16_777_216  # per queue whose home is not known: the rest is nacked
)
REMOTE_UNANSWERED_BYTES_MAX: Final = 16_777_216  # per node: published to it, not answered by it yet
REMOTE_WINDOW_BYTES: Final = 1_048_576  # per channel: sent to its node, not yet to the client
REMOTE_WINDOW_MESSAGES: Final = 256
ANNOUNCED_S: Final = 1.0  # how long a declare waits for other nodes to know what is transient
ENGINE_ROOM_BYTES_MIN: Final = 8_388_608  # with less on its disc no nats-server is started
SHARDS: Final = 4  # logs of all quorum queues: fsyncs of more of them get in each other's way
SHARDS_MAX: Final = 64
SHARD_GATHERED_BYTES_MAX: Final = 33_554_432  # of each: what its log does not have yet
SHARD_COPIES_MAX: Final = 3  # of each, where there are as many disc members
GATHERED_BYTES_MAX: Final = 33_554_432  # per vhost: read, but not yet on its way to the disc
GATHERED_MESSAGES_MAX: Final = 131_072
COPIES_WIDE: Final = 64  # queues of one publish from which on they are counted
COPIES_MAX: Final = 16_384  # then: per connection, until others get a turn
COMMIT_BYTES_MAX: Final = 4_194_304  # of one row: bounds how long a confirm waits for others' bytes
COMMIT_MESSAGES_MAX: Final = 65_536  # of one row: bounds what the loop thread packs at one go
SETTLED_LULL_S: Final = 0.005  # how long an acknowledgement may wait for company on its way to disc
WAL_PAGES_MAX: Final = 2048  # 8 MiB: where SQLite copies its log back into the file
RETRY_MIN_S: Final = 0.05  # first wait after a commit that failed
RETRY_MAX_S: Final = 2.0  # the longest one: how late a disc that has room again is noticed
CLOSE_TIMEOUT_S: Final = 10.0  # for the last commits of an orderly stop
REWRITE_BYTES_MAX: Final = 1_048_576  # read in one background step: bounds how long commits wait
REWRITE_MESSAGES_MAX: Final = 8192
REWRITE_ROWS_MAX: Final = 512
INFORMERS_MAX: Final = 256  # commits with news of one row: beyond it one of them tells it all
UPKEEP_COMMITS: Final = 32  # under load: commits from one background step to the next
SLACK_BYTES_MIN: Final = 8_388_608  # settled bytes a store may keep on disc before it rewrites
SMALL_ROW_BYTES: Final = 65_536  # rows below it are merged when there are SMALL_ROWS_MAX
SMALL_ROWS_MAX: Final = 1024
VACUUM_PAGES: Final = 512  # given back to the file system in one background step
SPOOL_BLOCK_BYTES: Final = 4096
PROPOSALS_REMEMBERED: Final = 16_384  # entries of the metadata: how late one may come again
REFUSALS_REMEMBERED: Final = 4096  # proposals: in about the time in which one comes again
BARRIER_S: Final = 1.0  # how long a change waits for a member that does not say it has it
WRITTEN_TOLD_S: Final = 0.05  # how late members tell how far their disc is
PROPOSAL_TIMEOUT_S: Final = 25.0  # how long a change waits for who can order it: two elections
PROPOSAL_RESEND_S: Final = 2.0
PROPOSALS_UNDER_WAY_MAX: Final = 64  # of one node, to the engine; others wait their turn
FEED_BYTES: Final = 262_144  # of entries or of a snapshot, in one message to a follower
FEED_BACKLOG_ENTRIES: Final = 4096  # kept in memory for followers; what is older comes from disc
FEED_HELLO_S: Final = 5.0  # how long a follower waits for an answer before it asks again
SNAPSHOT_INLINE_MAX: Final = 2000  # things in a state that is encoded in one go, on the loop
META_CHECK_S: Final = 2.0  # how late an entry that was not told of is noticed
META_READ_MAX: Final = 500  # entries read at one go
META_PURGE_S: Final = 30.0
META_PURGE_MIN: Final = 1000  # entries: fewer are not worth dropping
META_ENTRIES_MAX: Final = 100_000  # kept for a member that is away; beyond it gets a snapshot
METADATA_LOG_BYTES_MIN: Final = 4_194_304  # the log is folded into a snapshot when twice as big
STREAM_SEGMENT_BYTES: Final = 500_000_000  # RabbitMQ 3.10 default
STREAM_INDEX_STEP_BYTES: Final = 131_072  # what a reader of a stream takes in at one go, or a chunk
STREAM_CHUNK_BYTES_MAX: Final = 262_144
STREAM_CHUNK_MESSAGES_MAX: Final = 4096
STREAM_CACHE_BYTES: Final = 16_777_216  # of a vhost: what readers share, the newest included

LINK_BEAT_MS: Final = 1000  # between nodes: what is sent when nothing else is
LINK_DEAD_MS: Final = 3000  # silence after which the other node counts as gone
LINK_TICK_S: Final = 0.25  # how often the two are looked at
LINK_CONNECT_S: Final = 3.0  # name server and TCP
LINK_GREETING_S: Final = 5.0  # from the connection to its use: TLS and both greetings
LINK_CLOSE_S: Final = 1.0  # for last words; then the connection is cut
LINK_RETRY_MIN_S: Final = 0.1
LINK_RETRY_MAX_S: Final = 2.0  # how late a node that came back may be noticed
LINK_STRANGERS_MAX: Final = 64  # connections that have not shown yet whose they are
LINK_HELLO_BYTES_MAX: Final = 2048  # of any frame before the greetings are over
LINK_FRAME_BYTES_MAX: Final = 262_144  # larger payloads travel in parts
LINK_MESSAGE_BYTES_MAX: Final = 603_979_776  # the largest message, and room for what goes with it
LINK_CHUNK_BYTES: Final = 262_144  # encrypted at one go
LINK_SOCKET_HIGH_BYTES: Final = 1_048_576  # encrypted, and not yet taken by the kernel
LINK_SOCKET_LOW_BYTES: Final = 262_144
LINK_HIGH_BYTES: Final = 4_194_304  # waiting to be written: who can wait should
LINK_LOW_BYTES: Final = 1_048_576
LINK_STOP_BYTES: Final = 134_217_728  # when more waits, the link is cut at the next message
LINK_CALLS_MAX: Final = 16_384  # of one node, being answered at a time
LINK_SERVICES_MAX: Final = 1024  # names that one node may use

HTTP_BODY_BYTES_MAX: Final = 20_000_000  # of a request to the management API; RabbitMQ 4's number
HTTP_BODY_OF_NOBODY_BYTES_MAX: Final = 16_384  # of one that comes before the login
HTTP_CONNECTIONS_MAX: Final = 1024
HTTP_CALLS_MAX: Final = 64  # under way at a time; others are told to come again
HTTP_CHANNEL_S: Final = 25.0  # how long a request waits for what a channel asked for
HTTP_ROWS: Final = 50  # of a long answer, made before others get their turn
HTTP_CALL_S: Final = 300.0  # how long one request may take
HTTP_GET_BYTES_MAX: Final = 67_108_864  # of messages in one answer to a get
HTTP_SAMPLE_MS_MIN: Final = 100
