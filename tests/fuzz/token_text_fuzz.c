/* Whatever is read as a token is written as the same text; everything else is refused. */
#include "core/token_text.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct token_text t;
    char text[TOKEN_TEXT_SIZE];
    if (token_text_parse((const char *)data, n, &t)) {
        token_text_format(&t, text);
        assert(n == strlen(text) && !memcmp(data, text, n));
    }
    /* Most inputs end at the checksum: the same with one that fits. */
    if (n == TOKEN_TEXT_SIZE - 1) {
        memcpy(text, TOKEN_TEXT_PREFIX, 8);
        memcpy(text + 8, data + 8, 65);
        token_text_checksum(text + 8, 65, text + 73);
        char back[TOKEN_TEXT_SIZE];
        if (token_text_parse(text, n, &t)) {
            token_text_format(&t, back);
            assert(!memcmp(text, back, n));
        }
    }
    return 0;
}
