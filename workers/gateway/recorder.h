/* recorder — what the gateway saw of its callers, on its way to the audit trail (T-09, V-S6; ADR
 * 0016): requests that came in and that were refused, links that were used and that were over.
 * Counted here (tally.h), sent as commands `auth.record`, which a worker makes into events; so the
 * trail has one ledger. A request never waits for any of it: it is noted in memory, and sent by a
 * timer.
 *
 * A command that could not be handed over is sent again as it is, under its id: the worker knows
 * it if it had come through after all. */
#pragma once

#include "gateway/tally.h"

struct gateway;
struct recorder;
struct request;

struct recorder *recorder_new(struct gateway *g, struct err *err);

/* It was let in, or refused: with the metric of the same name. why: static. token, owner: whose
 * credential it was, or said to be; NULL: not known. */
void record_authenticated(struct request *r);
void record_denied(struct request *r, const char *why, const uint8_t *token, const char *owner);
/* A link gave its configuration; session: whose. */
void record_download(struct request *r, const char *session);
void record_no_download(struct request *r);
/* A credential was given away, or not; connection: whose it is, NULL: not known. why: static. */
void record_credential(struct request *r, const char *connection);
void record_no_credential(struct request *r, const char *connection, const char *why);
/* Somebody came back from a provider with what does not fit. why: static. */
void record_no_callback(struct request *r, const char *connection, const char *why);

/* Told to stop: whether all is told and has arrived. */
bool recorder_done(const struct recorder *c);
