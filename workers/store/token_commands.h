/* token_commands — what the three workers that act on tokens share: a command's data as the
 * domain's structs, and the world of its decision. */
#pragma once

#include "domain/token.h"
#include "store/resources.h"

/* "token.create" and the like. */
bool is_token_command(const struct item *it);
/* Asks for the rows that a token command names beside its subject: who has the name, and whether
 * the secret waits. */
void token_command_want(struct working_set *ws, const struct item *it);
/* The decision of token.create, update, rotate, revoke or expire, carried into the batch. */
void token_command_decide(struct batch *b, struct item *it);
