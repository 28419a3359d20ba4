#include "org_name.h"

#include <stdio.h>
#include <string.h>

#define NAME_LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"

/* As the schemas of their commands have it: a letter or digit first. */
static bool take_part(const char *s, size_t n, char *out, size_t most)
{
    if (n == 0 || n > most || strspn(s, NAME_LETTERS) < n || strchr("._-", s[0]))
        return false;
    memcpy(out, s, n);
    out[n] = 0;
    return true;
}

bool org_name_of(const struct cli *cli, const char *word, struct org_name *out, struct err *err)
{
    const char *said = line_text(&cli->line, "org"), *slash = strchr(word, '/');
    const char *org = slash ? word : said ? said : "GLOBAL", *name = slash ? slash + 1 : word;
    size_t n = slash ? (size_t)(slash - word) : strlen(org);
    if (!take_part(org, n, out->org, ORG_MAX) ||
        !take_part(name, strlen(name), out->name, ORG_NAME_MAX))
        return usage_error(err, "%.200s is no name: ORG/NAME or NAME, of letters, digits, . _ -",
                           word);
    if (slash && said && strcmp(said, out->org) != 0)
        return usage_error(err, "%.200s is not of %.64s, which --org says", word, said);
    snprintf(out->id, sizeof out->id, "%s/%s", out->org, out->name);
    return true;
}
