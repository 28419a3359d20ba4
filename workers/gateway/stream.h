/* stream — the audit trail as it happens, to any number of readers: server-sent events.
 *
 * One look at the ledger every 200 ms serves them all: the same segment first asks who may not read
 * any more, then what is new, so that nobody is shown what was written after its token was revoked.
 * What is new goes into one ring (ring.h); each reader walks it at its own pace (follower.h), and
 * one that fell behind, or came back, reads from the database, a few of them at a time.
 *
 * What a reader costs is bounded: its request, at most 16 KiB and one record that are ready, and
 * a small socket buffer. One that does not take a block within gateway_stream_stall is cut off and
 * counted. */
#pragma once

struct gateway;
struct streams;

/* NULL: no memory. */
struct streams *streams_new(struct gateway *g);
