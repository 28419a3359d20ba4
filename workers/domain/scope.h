/* scope — what a token may do (T-06): one table, scope.def.
 *
 * A set of scopes is a word with a bit for each row. "<area>:*" stands for all rows of its area,
 * "admin" for every row there is. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum scope_bit {
#define SCOPE(name, text, help) SCOPE_BIT_##name,
#include "domain/scope.def"
#undef SCOPE
    SCOPES,
};

typedef uint32_t scope_set;

enum scope {
#define SCOPE(name, text, help) SCOPE_##name = 1u << SCOPE_BIT_##name,
#include "domain/scope.def"
#undef SCOPE
};

#define SCOPES_ALL ((scope_set)((1u << SCOPES) - 1))
/* What the API key of a user (T-12) may do, always for that user alone. */
#define SCOPES_OF_API_KEY ((scope_set)(SCOPE_SESSIONS_READ | SCOPE_SESSIONS_WRITE))

#define SCOPE_TEXT_MAX 32 /* of one scope, with its NUL */

/* The rows that one name stands for; 0: there is no such scope. */
scope_set scope_parse(const char *name, size_t n);
/* A list with single spaces between, as the database has it; 0 when one of them is none, or there
 * are none. */
scope_set scope_parse_list(const char *names);
const char *scope_name(enum scope_bit bit);
const char *scope_help(enum scope_bit bit);
/* Whoever has `have` may do what needs `need`; 0 needs nothing. */
bool scope_covers(scope_set have, scope_set need);
