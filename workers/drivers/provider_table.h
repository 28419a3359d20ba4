/* provider_table — schemas/providers.json, read and checked once. In testable builds
 * DRAWBRIDGE_TEST_PROVIDERS names a file that stands in its place. */
#pragma once

#include "core/err.h"
#include "domain/provider.h"

/* Reads the table at first use, checked by schemas/tables/providers.json; it lives as long as the
 * process. NULL and INTERNAL when it is not what it should be: to be called once at start. */
const struct provider_list *provider_table(struct err *err);
