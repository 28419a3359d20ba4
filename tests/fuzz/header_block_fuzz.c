/* Any bytes as a header block: refused, or read and written back the same. */
#include "core/header_block.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    auto_arena struct arena *arena = arena_new(4096, 16 << 20);
    struct header *headers = NULL;
    size_t n = 0;
    struct err err = {0};
    if (!arena || !header_block_parse(arena, (struct bytes){data, size}, &headers, &n, &err))
        return 0;
    auto_buf struct buf again;
    buf_init(&again, size);
    header_put_all(&again, headers, n);
    assert(buf_ok(&again) && again.n == size);
    assert(size == 0 || memcmp(again.p, data, size) == 0);
    return 0;
}
