#include "lab/guard/access.h"

#include <fmt/format.h>

#include <algorithm>

namespace weir::guard {

namespace {

constexpr Grant kNever = Grant::kNever;
constexpr Grant kOwn = Grant::kOwn;
constexpr Grant kAny = Grant::kAny;

// clang-format off
constexpr Permission kPermissions[] = {
    //                                                                        visitor client member admin
    {Action::kSeeLab,      "see-lab",      "see the lab and its objects",     {kNever,  kNever, kAny,   kAny}},
    {Action::kSeeJournal,  "see-journal",  "read the journal",                {kNever,  kNever, kAny,   kAny}},
    {Action::kSeeMetrics,  "see-metrics",  "read /metrics",                   {kAny,   kNever, kAny,   kAny}},
    {Action::kSeeLogs,     "see-logs",     "read the output of jobs",         {kNever, kNever, kOwn,   kAny}},
    {Action::kSeeSecrets,  "see-secrets",  "see environment variables",       {kNever, kNever, kOwn,   kAny}},
    {Action::kSeeKeys,     "see-keys",     "list keys",                       {kNever, kNever, kNever, kAny}},
    {Action::kInfer,       "infer",        "send requests to a service",      {kNever, kOwn,   kAny,   kAny}},
    {Action::kRunJobs,     "run-jobs",     "submit and cancel jobs",          {kNever, kNever, kOwn,   kAny}},
    {Action::kRunServices, "run-services", "create and change services",      {kNever, kNever, kOwn,   kAny}},
    {Action::kRecallLoans, "recall-loans", "recall loans",                    {kNever, kNever, kOwn,   kAny}},
    {Action::kAddData,     "add-data",     "register datasets and models",    {kNever, kNever, kAny,   kAny}},
    {Action::kManageTeams, "manage-teams", "create, change and remove teams", {kNever, kNever, kNever, kAny}},
    {Action::kManageSlots, "manage-slots", "cordon and drain slots, nodes and sites", {kNever, kNever, kNever, kAny}},
    {Action::kManageKeys,  "manage-keys",  "create and revoke keys",          {kNever, kNever, kNever, kAny}},
};
// clang-format on

Error Refusal(const Principal& principal, const Permission& permission) {
  if (principal.who == Who::kVisitor) {
    return Error(Code::kUnauthenticated, fmt::format("to {}, a key is needed", permission.what))
        .Hint(
            "send it as `Authorization: Bearer KEY`; the first one is in the data folder's "
            "admin.key");
  }
  std::string who;
  for (const Who w : kEveryWho) {
    const Grant grant = permission.grant[static_cast<int>(w)];
    if (grant == kNever) continue;
    if (!who.empty()) who += ", ";
    who += fmt::format("{}{}", NameOf(w), grant == kOwn ? " (of its own)" : "");
  }
  return Error(Code::kPermissionDenied,
               fmt::format("key {} ({}{}{}) may not {}", principal.name, NameOf(principal.who),
                           principal.team.empty() ? "" : " of team " + principal.team,
                           principal.service.empty() ? "" : " of service " + principal.service,
                           permission.what))
      .Hint("who may: " + who);
}

}  // namespace

std::string_view NameOf(Who who) {
  switch (who) {
    case Who::kVisitor:
      return "visitor";
    case Who::kClient:
      return "client";
    case Who::kMember:
      return "member";
    case Who::kAdmin:
      return "admin";
  }
  return "?";
}

Who WhoOf(wire::Role role) {
  switch (role) {
    case wire::Role::kAdmin:
      return Who::kAdmin;
    case wire::Role::kMember:
      return Who::kMember;
    case wire::Role::kClient:
      return Who::kClient;
  }
  return Who::kVisitor;
}

Principal Visitor() { return {.name = "visitor"}; }

std::span<const Permission> Permissions() { return kPermissions; }

const Permission& PermissionOf(Action action) { return kPermissions[static_cast<int>(action)]; }

Status Authorize(const Principal& principal, Action action, const Resource& resource) {
  const Permission& permission = PermissionOf(action);
  switch (permission.grant[static_cast<int>(principal.who)]) {
    case kNever:
      break;
    case kAny:
      return {};
    case kOwn:
      if (principal.who == Who::kClient &&
          (principal.service.empty() || principal.service == resource.service))
        return {};
      if (principal.who == Who::kMember && !principal.team.empty() &&
          std::ranges::find(resource.teams, principal.team) != resource.teams.end())
        return {};
      break;
  }
  return Refusal(principal, permission);
}

Status AuthorizeAtAll(const Principal& principal, Action action) {
  const Permission& permission = PermissionOf(action);
  if (permission.grant[static_cast<int>(principal.who)] != kNever) return {};
  return Refusal(principal, permission);
}

std::vector<std::string> Ancestry(std::span<const wire::Team> teams, const std::string& team) {
  std::vector<std::string> out;
  std::string at = team;
  while (!at.empty() && std::ranges::find(out, at) == out.end()) {
    out.push_back(at);
    const auto it = std::ranges::find(teams, at, &wire::Team::name);
    if (it == teams.end()) break;
    at = it->parent;
  }
  return out;
}

}  // namespace weir::guard
