// The dashboard's files, inside the program. cmake/EmbedAssets.cmake puts web/dist there; a build
// without it serves one plain page that says how to get it.
#pragma once

#include <span>
#include <string_view>

#include "io/http_message.h"

namespace weir::gateway {

struct Asset {
  std::string_view path;  // "/index.html"
  std::string_view bytes;
  std::string_view etag;  // quoted, of the content
};
// Sorted by path. Empty when the dashboard was not built.
std::span<const Asset> EmbeddedAssets();

// "text/html; charset=utf-8" and so on, by the name's ending.
std::string_view ContentTypeOf(std::string_view path);

// The answer to GET `path`: a file, 304 when the client has it, index.html for a page of the
// dashboard ("/jobs/job-3": no dot in the last part, and the client takes text/html), or 404.
// Everything comes with headers that let the page talk to this server and nobody else.
io::HttpResponse AnswerAsset(const io::HttpRequest& request,
                             std::span<const Asset> assets = EmbeddedAssets());

}  // namespace weir::gateway
