// Who may do what: one table, one pure function over it.
//
// A Principal is whoever asks, after authentication (keys.h). An Action is what a route or a
// command needs; a Resource says whose thing it would be done to. The table in access.cc holds, for
// every action and role, one Grant:
//   never  refused whatever the resource
//   own    allowed when the resource belongs to the principal's team (or a team below it in the
//          tree), or for clients when it is the key's service (a key without one: any service)
//   any    allowed
//
// Threads   pure. Errors: kUnauthenticated for a visitor who would need a key, otherwise
//           kPermissionDenied with a sentence that names the key, what it lacks and who has it.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "wire/lab.h"

namespace weir::guard {

// kVisitor: no key, from this machine, where the configuration lets such callers read.
enum class Who { kVisitor, kClient, kMember, kAdmin };
inline constexpr Who kEveryWho[] = {Who::kVisitor, Who::kClient, Who::kMember, Who::kAdmin};
std::string_view NameOf(Who who);
Who WhoOf(wire::Role role);

struct Principal {
  std::string name;  // of the key: what the journal shows as actor
  Who who = Who::kVisitor;
  std::string team;     // members
  std::string service;  // clients; empty = any
  int64_t tier = 1;     // clients: 1 is shed last
};
// Who a caller without a key is, where such callers are let in.
Principal Visitor();

enum class Action {
  kSeeLab,       // the lab and every object in it, why, curves, live events
  kSeeJournal,   // records, without the values of environment variables
  kSeeMetrics,   // /metrics
  kSeeLogs,      // output of a job
  kSeeSecrets,   // values of environment variables of a job or a service
  kSeeKeys,      // names and roles of keys; nobody sees a secret
  kInfer,        // ask a service through the OpenAI-compatible edge
  kRunJobs,      // submit and cancel
  kRunServices,  // create, scale, update, retire
  kRecallLoans,  // of a team: as lender or as borrower
  kAddData,      // register datasets and model versions
  kManageTeams,
  kManageSlots,  // cordon, drain; add and remove sites
  kManageKeys,   // create and revoke
};

enum class Grant { kNever, kOwn, kAny };

struct Permission {
  Action action;
  const char* name;  // "see-lab": in documents and messages
  const char* what;  // a phrase: "see the lab and its objects"
  Grant grant[4];    // by Who
};
// Every action once, in the order of the enum.
std::span<const Permission> Permissions();
const Permission& PermissionOf(Action action);

struct Resource {
  std::vector<std::string>
      teams;  // the owning team first, then those above it; several owners: all
  std::string service;
};

Status Authorize(const Principal& principal, Action action, const Resource& resource);
// Whether some resource exists for which Authorize would agree: the first check, before the body of
// a request is looked at.
Status AuthorizeAtAll(const Principal& principal, Action action);

// The team and the teams above it in the tree. Stops at a cycle.
std::vector<std::string> Ancestry(std::span<const wire::Team> teams, const std::string& team);

}  // namespace weir::guard
