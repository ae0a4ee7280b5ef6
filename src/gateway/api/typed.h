// Routes from typed functions: schemas and codecs follow from the types.
//
//   all.push_back(Takes<wire::JobSpec>(Gives<wire::Job>(
//       {.method = "POST", .path = "/api/v1/jobs", ...}), "JobSpec", ...
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "gateway/api/route.h"

namespace weir::gateway {

// A list on the wire: {"items": [...]}.
template <class T>
wire::Json ListJson(const std::vector<T>& items) {
  return {{"items", wire::ToJson(items)}};
}
template <class T>
wire::Json ListSchema() {
  return {{"type", "object"},
          {"properties", {{"items", wire::SchemaOf<std::vector<T>>()}}},
          {"required", wire::Json::array({"items"})},
          {"additionalProperties", false}};
}

inline Reply JsonReply(const Call& call, wire::Json json, int status = 200) {
  if (!call.shows_env()) HideEnv(json);
  return {.status = status,
          .body = json.dump(-1, ' ', false, wire::Json::error_handler_t::replace) + "\n"};
}

// A route that answers a T.
template <class T>
Route Gives(Route route, const char* type, std::function<Result<T>(Call&)> handle) {
  route.reply_type = type;
  route.reply_schema = wire::SchemaOf<T>();
  route.handle = [handle = std::move(handle), status = route.status](Call& call) -> Result<Reply> {
    const T answer = TRY(handle(call));
    return JsonReply(call, wire::ToJson(answer), status);
  };
  return route;
}

// A route that answers a list of T.
template <class T>
Route Lists(Route route, const char* type, std::function<Result<std::vector<T>>(Call&)> handle) {
  route.reply_type = std::string(type) + "List";
  route.reply_schema = ListSchema<T>();
  route.handle = [handle = std::move(handle)](Call& call) -> Result<Reply> {
    const std::vector<T> items = TRY(handle(call));
    return JsonReply(call, ListJson(items));
  };
  return route;
}

// A route that takes an In and answers an Out.
template <class In, class Out>
Route Takes(Route route, const char* in_type, const char* out_type,
            std::function<Result<Out>(Call&, In)> handle) {
  route.request_type = in_type;
  route.request_schema = wire::SchemaOf<In>();
  const bool may_be_empty = route.body_may_be_empty;
  return Gives<Out>(std::move(route), out_type,
                    [handle = std::move(handle), may_be_empty](Call& call) -> Result<Out> {
                      if (may_be_empty && call.body.empty()) return handle(call, In{});
                      return handle(call, TRY(wire::FromText<In>(call.body)));
                    });
}

}  // namespace weir::gateway
