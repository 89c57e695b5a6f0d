/*
 * peer_link.h
 *		One connection to one peer: libpq, never blocking.
 *
 * Not for what is sent (sender.c).
 *
 * Invariants
 * 1. No function here waits for the network.
 * 2. Frames are answered in the order in which they were sent.
 * 3. After any error the link is down, its socket is closed, and nothing of
 *	  what was in flight counts as received.
 */
#ifndef CAUSALDB_PEER_LINK_H
#define CAUSALDB_PEER_LINK_H

#include "lib/stringinfo.h"
#include "storage/latch.h"

#include "dsn.h"
#include "shmem.h"

struct pg_conn;

#define LINK_MAX_INFLIGHT 32

/* what a link is for */
typedef struct PeerPurpose
{
	const char *application; /* what the peer's server calls the session */
	const char *statement;   /* takes one bytea, gives one value */
} PeerPurpose;

typedef struct PeerLink
{
	const PeerPurpose *purpose;
	uint32 node;
	char name[NAMEDATALEN];
	char *dsn; /* malloc'd */
	bool by_superuser; /* who gave it: see dsn.h */
	struct pg_conn *conn;
	LinkState state;
	int step; /* of the start: see peer_link.c */
	uint32 wait_events; /* what the socket is waited for */
	TimestampTz deadline; /* LINK_CONNECTING, GREETING: give up at; wall_timer */
	TimestampTz next_try; /* LINK_DOWN; wall_timer */
	TimestampTz early_try; /* the same, once the peer has said HELLO to us */
	uint32 hellos; /* of the peer, when that was looked at last */
	int failures;
	uint32 starts; /* connections that were begun, this one included */
	int inflight; /* frames not answered yet */
	TimestampTz sent_at[LINK_MAX_INFLIGHT]; /* of those, oldest at head; wall_timer */
	int stream[LINK_MAX_INFLIGHT]; /* what peer_link_send was told */
	int head;
	char error[256];
} PeerLink;

/* an answer as it came; bytes live until the next peer_link_poll */
typedef struct PeerAnswer
{
	bool hello; /* the answer to HELLO, else to a frame */
	const void *data;
	size_t len;
	TimestampTz sent_at; /* of the frame it answers; wall_timer */
	int stream; /* of that frame */
} PeerAnswer;

extern void peer_link_init(PeerLink *link, const PeerPurpose *purpose, uint32 node, const char *name,
						   Dsn dsn);
/* It is still the connection to make for a peer of that name and string. */
extern bool peer_link_is_for(const PeerLink *link, const char *name, Dsn dsn);
/* It is down, and time to try again: the peer has come, or some time is over. */
extern bool peer_link_is_due(PeerLink *link, NodeShared *node);
/* Starts to connect. */
extern void peer_link_start(PeerLink *link);
/* The connection stands: say HELLO. Called when state is LINK_GREETING and
 * peer_link_wants_hello. */
extern bool peer_link_wants_hello(const PeerLink *link);
extern void peer_link_greet(PeerLink *link, const void *hello, size_t len);
/*
 * Does what can be done without waiting. True if an answer has come; call
 * again until false.
 */
extern bool peer_link_poll(PeerLink *link, PeerAnswer *answer);
extern bool peer_link_can_send(const PeerLink *link);
/* `stream` is the caller's own mark; it comes back with the answer. */
extern void peer_link_send(PeerLink *link, int stream, const void *frame, size_t len);
/* Down, with this reason; the next try is later after each failure. */
extern void peer_link_fail(PeerLink *link, const char *reason);
extern void peer_link_close(PeerLink *link);

#endif
