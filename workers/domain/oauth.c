#include "domain/oauth.h"

#include <string.h>

#define LOOKS_SECRET 40 /* longer than a UUID, shorter than any token worth the name */
#define MASK "***"

static const struct {
    const char *name, *help;
    enum oauth_consequence consequence;
} errors[OAUTH_ERRORS] = {
#define OAUTH(id, text, means, words)                                                              \
    [OAUTH_##id] = {.name = text, .help = words, .consequence = OAUTH_IS_##means},
#include "domain/oauth.def"
#undef OAUTH
};

const char *oauth_error_name(enum oauth_error e)
{
    return errors[e].name;
}

const char *oauth_error_help(enum oauth_error e)
{
    return errors[e].help;
}

enum oauth_consequence oauth_consequence(enum oauth_error e)
{
    return errors[e].consequence;
}

static enum oauth_error error_of_name(const char *name)
{
    for (size_t e = 1; e < OAUTH_ERRORS; e++)
        if (!strcmp(errors[e].name, name))
            return (enum oauth_error)e;
    return OAUTH_REFUSED;
}

enum oauth_error oauth_error_of_word(const struct provider *p, const char *word)
{
    for (size_t i = 0; i < p->errors.n; i++)
        if (!strcmp(p->errors.list[i].name, word))
            return error_of_name(p->errors.list[i].value);
    return error_of_name(word);
}

enum oauth_error oauth_error_of(const struct provider *p, int status, const char *word)
{
    if (status == 429)
        return OAUTH_THROTTLED;
    if (status == 503)
        return OAUTH_TEMPORARILY_UNAVAILABLE;
    if (status == 502 || status == 504)
        return OAUTH_GATEWAY_TIMEOUT;
    if (status >= 500)
        return OAUTH_SERVER_ERROR;
    if (word)
        return oauth_error_of_word(p, word);
    if (status >= 300 && status < 400)
        return OAUTH_REDIRECTED;
    if (status == 401)
        return OAUTH_INVALID_CLIENT;
    return status >= 400 ? OAUTH_REFUSED : status >= 200 ? OAUTH_FINE : OAUTH_UNREADABLE;
}

int64_t oauth_ends_ms(const struct provider *p, double life, int64_t now_ms)
{
    bool told = life > 0;
    double s = !told ? (double)p->absent_life_s : p->life_in_ms ? life / 1000 : life;
    if (!told && p->absent_life_s == 0)
        return 0;
    if (!(s < (double)OAUTH_LIFE_MAX_S))
        s = (double)OAUTH_LIFE_MAX_S;
    return now_ms + (int64_t)(s * 1000);
}

/* --- scopes --- */

static bool has_word(const char *list, size_t n, const char *word, size_t m)
{
    for (size_t i = 0; i < n;) {
        size_t end = i;
        while (end < n && list[end] != ' ')
            end++;
        if (end - i == m && !memcmp(list + i, word, m))
            return true;
        i = end + 1;
    }
    return false;
}

bool oauth_scopes(const char *text, char *out, size_t room)
{
    size_t n = 0;
    for (;;) {
        text += strspn(text, " ,\t\r\n");
        size_t m = strcspn(text, " ,\t\r\n");
        if (m == 0)
            break;
        if (!has_word(out, n, text, m)) {
            if (n + (n ? 1 : 0) + m + 1 > room) {
                out[0] = '\0';
                return false;
            }
            if (n)
                out[n++] = ' ';
            memcpy(out + n, text, m);
            n += m;
        }
        text += m;
    }
    out[n] = '\0';
    return true;
}

/* --- a provider's words --- */

static bool of_a_token(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c && strchr("-._~+=%", c));
}

/* How many bytes at p are one of the secrets; 0: none is there. */
static size_t secret_at(const char *p, size_t n, const struct oauth_bytes *secrets, size_t count)
{
    size_t longest = 0;
    for (size_t i = 0; i < count; i++)
        if (secrets[i].n > longest && secrets[i].n <= n && !memcmp(p, secrets[i].p, secrets[i].n))
            longest = secrets[i].n;
    return longest;
}

static size_t run_at(const char *p, size_t n)
{
    size_t m = 0;
    while (m < n && of_a_token(p[m]))
        m++;
    return m;
}

void oauth_clean(const char *text, size_t n, const struct oauth_bytes *secrets, size_t nsecrets,
                 char *out, size_t room)
{
    size_t to = 0;
    for (size_t i = 0; i < n && to + 1 < room;) {
        size_t hidden = secret_at(text + i, n - i, secrets, nsecrets);
        bool begins = i == 0 || !of_a_token(text[i - 1]);
        size_t run = !hidden && begins ? run_at(text + i, n - i) : 0;
        hidden = run >= LOOKS_SECRET ? run : hidden;
        if (hidden) {
            size_t m = sizeof MASK - 1 < room - 1 - to ? sizeof MASK - 1 : room - 1 - to;
            memcpy(out + to, MASK, m);
            to += m;
            i += hidden;
            continue;
        }
        unsigned char c = (unsigned char)text[i++];
        if (c <= ' ' && (to == 0 || out[to - 1] == ' '))
            continue;
        out[to] = '?';
        if (c < ' ')
            out[to] = ' ';
        else if (c < 0x7f)
            out[to] = (char)c;
        to++;
    }
    out[to] = '\0';
}
