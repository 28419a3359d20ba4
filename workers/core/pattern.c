#include "core/pattern.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

/* PCRE2 counts steps anew from each start it tries, and a step may look at all of the text. So a
 * pattern without "^", which starts anywhere, gets few steps per start and no long texts. */
#define STEPS_MAX 200000
#define UNANCHORED_STEPS_MAX 4000000 /* over all starts */
#define UNANCHORED_BYTES_MAX 4096
#define DEPTH_MAX 2000
#define HEAP_KIB_MAX 1024
#define PARENS_MAX 64

struct pattern {
    pcre2_code *code;
    pcre2_match_data *data;
    pcre2_match_context *limits;
    bool anchored;
};

static const uint32_t options = PCRE2_UTF | PCRE2_DOLLAR_ENDONLY | PCRE2_MATCH_UNSET_BACKREF |
                                PCRE2_ALLOW_EMPTY_CLASS | PCRE2_NEVER_BACKSLASH_C;

static bool is_anchored(const pcre2_code *code)
{
    uint32_t found = 0;
    return pcre2_pattern_info(code, PCRE2_INFO_ALLOPTIONS, &found) == 0 && found & PCRE2_ANCHORED;
}

static pcre2_code *compile(const struct buf *text, struct err *err)
{
    pcre2_compile_context *context = pcre2_compile_context_create(NULL);
    if (!context) {
        err_set(err, ERR_NO_MEMORY, "regular expression");
        return NULL;
    }
    pcre2_set_parens_nest_limit(context, PARENS_MAX);
    int code = 0;
    PCRE2_SIZE at = 0;
    pcre2_code *re = pcre2_compile(text->p ? text->p : (const uint8_t *)"", text->n, options, &code,
                                   &at, context);
    pcre2_compile_context_free(context);
    if (!re) {
        char why[128] = "";
        pcre2_get_error_message(code, (PCRE2_UCHAR *)why, sizeof why);
        err_set(err, ERR_BAD_INPUT, "not a regular expression: %s", why);
    }
    return re;
}

struct pattern *pattern_new(const char *s, size_t n, struct err *err)
{
    auto_buf struct buf text;
    buf_init(&text, (size_t)PATTERN_BYTES_MAX * 16);
    if (!pattern_translate(s, n, &text, err))
        return NULL;
    auto_pattern struct pattern *p = calloc(1, sizeof *p);
    if (!p) {
        err_set(err, ERR_NO_MEMORY, "regular expression");
        return NULL;
    }
    p->code = compile(&text, err);
    if (!p->code)
        return NULL;
    p->data = pcre2_match_data_create(1, NULL);
    p->limits = pcre2_match_context_create(NULL);
    if (!p->data || !p->limits) {
        err_set(err, ERR_NO_MEMORY, "regular expression");
        return NULL;
    }
    p->anchored = is_anchored(p->code);
    pcre2_set_match_limit(p->limits, STEPS_MAX);
    pcre2_set_depth_limit(p->limits, DEPTH_MAX);
    pcre2_set_heap_limit(p->limits, HEAP_KIB_MAX);
    return take(p);
}

enum pattern_result pattern_match(const struct pattern *p, const char *s, size_t n)
{
    if (!p->anchored && n > UNANCHORED_BYTES_MAX)
        return PATTERN_LIMIT;
    if (!p->anchored)
        pcre2_set_match_limit(p->limits, UNANCHORED_STEPS_MAX / (uint32_t)(n + 20));
    int rc = pcre2_match(p->code, (PCRE2_SPTR)s, n, 0, PCRE2_NO_UTF_CHECK, p->data, p->limits);
    if (rc >= 0)
        return PATTERN_YES;
    return rc == PCRE2_ERROR_NOMATCH ? PATTERN_NO : PATTERN_LIMIT;
}

void pattern_free(struct pattern **p)
{
    if (!*p)
        return;
    pcre2_code_free((*p)->code);
    pcre2_match_data_free((*p)->data);
    pcre2_match_context_free((*p)->limits);
    free(*p);
    *p = NULL;
}
