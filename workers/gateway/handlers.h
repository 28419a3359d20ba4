/* handlers — one function per row of routes.def; what each does stands in the row. */
#pragma once

#include "gateway/request.h"

#define ROUTE(id, ...) void handle_##id(struct request *r);
#include "gateway/routes.def"
#undef ROUTE
