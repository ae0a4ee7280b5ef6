// The OpenAPI 3.1 document, made from the table of routes: what the server serves and what a test
// holds its answers against.
#pragma once

#include "gateway/api/route.h"

namespace weir::gateway {

wire::Json OpenApiDocument(const std::vector<Route>& routes);

}  // namespace weir::gateway
