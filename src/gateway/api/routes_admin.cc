// Keys, who asks, versions, health, metrics, and the document itself.
#include <algorithm>

#include "base/version.h"
#include "gateway/api/metrics.h"
#include "gateway/api/tables.h"
#include "gateway/api/typed.h"

namespace weir::gateway {

namespace {

using guard::Action;

void AddKeys(std::vector<Route>& all) {
  all.push_back(Lists<wire::KeyView>({.method = "GET",
                                      .path = "/api/v1/keys",
                                      .operation_id = "listKeys",
                                      .summary = "Every key, without its secret",
                                      .action = Action::kSeeKeys},
                                     "Key", [](Call& call) -> Result<std::vector<wire::KeyView>> {
                                       std::vector<wire::KeyView> keys;
                                       for (const wire::Key& key : call.lab().Keys())
                                         keys.push_back(wire::ViewOf(key));
                                       return keys;
                                     }));
  all.push_back(Takes<wire::KeyRequest, wire::CreatedKey>(
      {.method = "POST",
       .path = "/api/v1/keys",
       .operation_id = "createKey",
       .summary = "Make a key; its secret is in this answer and nowhere else",
       .action = Action::kManageKeys,
       .example = {{"name", "ci"}, {"role", "client"}, {"service", "chat"}},
       .status = 201},
      "KeyRequest", "CreatedKey",
      [](Call& call, wire::KeyRequest request) -> Result<wire::CreatedKey> {
        if (request.expires_in.us < 0) {
          return Error(Code::kInvalidArgument, "expires_in_us: it is negative")
              .Hint("0 = never expires");
        }
        const Duration kFarthest = Duration::Minutes(60 * 24 * 365 * 100LL);
        if (request.expires_in > kFarthest) {
          return Error(Code::kInvalidArgument, "expires_in_us: it is more than a century")
              .Hint("0 = never expires");
        }
        wire::Key wanted{.name = request.name,
                         .role = request.role,
                         .team = request.team,
                         .service = request.service,
                         .tier = request.tier};
        if (request.expires_in.us > 0) wanted.expires = call.now + request.expires_in;
        const guard::NewKey made = TRY(guard::MakeKey(std::move(wanted), call.now));
        const wire::Key kept = TRY(call.lab().CreateKey(made.key, call.actor()));
        call.context.keys.Replace(call.lab().Keys());
        return wire::CreatedKey{.key = wire::ViewOf(kept), .secret = made.secret};
      }));
  Route revoke{.method = "DELETE",
               .path = "/api/v1/keys/{key}",
               .operation_id = "revokeKey",
               .summary = "Revoke a key: requests that come with it are refused from now on",
               .action = Action::kManageKeys,
               .status = 204,
               .content_type = ""};
  revoke.handle = [](Call& call) -> Result<Reply> {
    TRY(call.lab().RevokeKey(call.Path("key"), call.actor()));
    call.context.keys.Replace(call.lab().Keys());
    return Reply{.status = 204, .content_type = ""};
  };
  all.push_back(std::move(revoke));
}

Route Plain(const char* path, const char* id, const char* summary, const char* content_type,
            std::function<Result<Reply>(Call&)> handle) {
  Route route{.method = "GET",
              .path = path,
              .operation_id = id,
              .summary = summary,
              .content_type = content_type};
  route.quick = true;
  route.handle = std::move(handle);
  return route;
}

}  // namespace

void AddAdminRoutes(std::vector<Route>& all) {
  AddKeys(all);
  all.push_back(Gives<wire::WhoAmI>(
      {.method = "GET",
       .path = "/api/v1/whoami",
       .operation_id = "whoAmI",
       .summary = "Whose key this is and what it may do"},
      "WhoAmI", [](Call& call) -> Result<wire::WhoAmI> {
        wire::WhoAmI out{.name = call.who.name,
                         .role = std::string(guard::NameOf(call.who.who)),
                         .team = call.who.team,
                         .service = call.who.service};
        for (const guard::Permission& p : guard::Permissions()) {
          const guard::Grant grant = p.grant[static_cast<int>(call.who.who)];
          if (grant != guard::Grant::kNever)
            out.may.push_back(std::string(p.name) + (grant == guard::Grant::kOwn ? ":own" : ""));
        }
        return out;
      }));
  all.push_back(Gives<wire::VersionView>({.method = "GET",
                                          .path = "/api/v1/version",
                                          .operation_id = "getVersion",
                                          .summary = "Version of Weir and of this API"},
                                         "Version", [](Call&) -> Result<wire::VersionView> {
                                           return wire::VersionView{.version = kVersion};
                                         }));
  all.push_back(
      Plain("/api/v1/openapi.json", "getOpenApi", "This document", "application/json",
            [](Call& call) -> Result<Reply> { return Reply{.body = call.context.openapi()}; }));
  all.push_back(Plain("/healthz", "getHealth", "200 as long as the process answers", "text/plain",
                      [](Call&) -> Result<Reply> {
                        return Reply{.content_type = "text/plain; charset=utf-8", .body = "ok\n"};
                      }));
  all.push_back(Plain(
      "/readyz", "getReadiness",
      "200 when work is taken; 503 with the reason while draining or in trouble", "text/plain",
      [](Call& call) -> Result<Reply> {
        const wire::LabView& view = call.View();
        if (view.draining) {
          return Error(Code::kUnavailable, "the lab is shutting down")
              .Hint("nothing new is taken; ask again after it has started")
              .RetryAfter(5);
        }
        if (!view.trouble.empty()) {
          return Error(Code::kUnavailable, view.trouble).Hint("see `weir doctor`").RetryAfter(5);
        }
        return Reply{.content_type = "text/plain; charset=utf-8", .body = "ready\n"};
      }));
  Route metrics = Plain("/metrics", "getMetrics", "Prometheus text format; see docs/metrics.md",
                        "text/plain", [](Call& call) -> Result<Reply> {
                          MetricsText text;
                          call.context.metrics(text);
                          return Reply{.content_type = MetricsText::kContentType,
                                       .body = std::move(text).Take()};
                        });
  metrics.action = Action::kSeeMetrics;
  metrics.quick = false;
  all.push_back(std::move(metrics));
}

}  // namespace weir::gateway
