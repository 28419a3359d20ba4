/* Any text given to the parsers of endpoints, networks and lists is understood or refused. */
#include "drivers/endpoint.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    auto_free char *text = malloc(size + 1);
    struct endpoint e;
    struct network network;
    size_t n;
    if (!text)
        abort();
    memcpy(text, data, size);
    text[size] = '\0';
    if (endpoint_parse(text, &e) && (e.port < 1 || e.port > 65535 || !*e.host))
        abort();
    const char *rest = text, *element;
    while (list_next(&rest, &element, &n)) {
        if (element < text || element + n > text + size)
            abort();
        if (network_parse(element, n, &network) && (network.prefix < 0 || network.prefix > 128))
            abort();
        (void)address_parse(element, n, &network);
    }
    return 0;
}
