/* http_error — the table of the edge's own errors (http_error.def). */
#pragma once

enum http_error {
#define HTTP_ERROR(id, status, code, title, hint) HTTP_##id,
#include "gateway/http_error.def"
#undef HTTP_ERROR
    HTTP_ERRORS,
};

struct http_error_row {
    int status;
    const char *code, *title, *hint;
};

extern const struct http_error_row http_errors[]; /* HTTP_ERRORS rows */
