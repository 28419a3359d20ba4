#include "core/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
    enum err_class class;
    const char *name, *hint;
} rows[] = {
#define ERR(code, class, name, hint) [ERR_##code] = {CLASS_##class, name, hint},
#include "core/err.def"
#undef ERR
};

/* A cut message must stay UTF-8, because it goes into JSON and headers. */
static void drop_half_character(char *s)
{
    size_t n = strlen(s), lead = n, want = 1;

    while (lead > 0 && n - lead < 4 && ((unsigned char)s[lead - 1] & 0xc0) == 0x80)
        lead--;
    if (lead == 0)
        return;
    unsigned char c = (unsigned char)s[--lead];
    if (c >= 0xf0)
        want = 4;
    else if (c >= 0xe0)
        want = 3;
    else if (c >= 0xc0)
        want = 2;
    if (n - lead < want)
        s[lead] = '\0';
}

/* Through a copy: the arguments may point into the message that is replaced. */
static void put_message(struct err *err, const char *text)
{
    size_t n = strnlen(text, sizeof(err->message) - 1);

    memcpy(err->message, text, n);
    err->message[n] = '\0';
    drop_half_character(err->message);
}

bool err_set(struct err *err, enum err_code code, const char *format, ...)
{
    char text[sizeof(err->message)] = "";
    va_list args;

    if (!err)
        return false;
    va_start(args, format);
    if (vsnprintf(text, sizeof(text), format, args) < 0)
        text[0] = '\0';
    va_end(args);
    err->code = code;
    put_message(err, text);
    return false;
}

bool err_wrap(struct err *err, const char *format, ...)
{
    char text[2 * sizeof(err->message)] = "";
    va_list args;

    if (!err)
        return false;
    va_start(args, format);
    if (vsnprintf(text, sizeof(err->message), format, args) < 0)
        text[0] = '\0';
    va_end(args);
    drop_half_character(text);

    size_t n = strlen(text);
    (void)snprintf(text + n, sizeof(text) - n, ": %s", err->message);
    put_message(err, text);
    return false;
}

void err_clear(struct err *err)
{
    if (!err)
        return;
    err->code = ERR_NONE;
    err->message[0] = '\0';
}

/* A code out of range came through a cast or a wild write: treat it as the invariant it breaks. */
static enum err_code known(enum err_code code)
{
    return (size_t)code < LEN(rows) ? code : ERR_INTERNAL;
}

enum err_class err_class(enum err_code code)
{
    return rows[known(code)].class;
}

const char *err_name(enum err_code code)
{
    return rows[known(code)].name;
}

const char *err_hint(enum err_code code)
{
    return rows[known(code)].hint;
}

const char *err_class_name(enum err_class class)
{
    switch (class) {
    case CLASS_NONE:
        return "none";
    case CLASS_TRANSIENT:
        return "transient";
    case CLASS_THROTTLED:
        return "throttled";
    case CLASS_UNCERTAIN:
        return "uncertain";
    case CLASS_PERMANENT:
        return "permanent";
    case CLASS_INVALID:
        return "invalid";
    case CLASS_FATAL:
        return "fatal";
    }
    return "fatal";
}

enum err_code err_by_name(const char *name)
{
    for (size_t i = 0; name && i < LEN(rows); i++)
        if (strcmp(rows[i].name, name) == 0)
            return (enum err_code)i;
    return ERR_INTERNAL;
}
