// What people ask for, checked and turned into events. Pure: the state and the request in, events
// or one clear sentence out; nothing is changed here.
//
// Names   1 to 63 letters, digits, '-', '_' or '.', beginning with a letter or a digit.
// Errors  kInvalidArgument with the field's path, kAlreadyExists, kNotFound, kFailedPrecondition;
//         each with the next step as its hint.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "control/events.h"
#include "control/lab.h"
#include "control/state.h"

namespace weir::control {

struct CommandContext {
  const State& state;
  Actor actor;
  Time now;
  std::string data_dir;  // jobs get their folder in it
};

inline constexpr size_t kMaxWaitingJobs = 10'000;
inline constexpr size_t kMaxServices = 1'000;
inline constexpr size_t kMaxVariants = 8;
inline constexpr size_t kMaxEngineFlags = 64;
inline constexpr size_t kMaxCommandBytes = 64 << 10;  // program and arguments together

using Events = Result<std::vector<Event>>;

// No such job, service, ...: with the command that lists them.
Error NoSuch(std::string_view kind, const std::string& which);

Events PutTeam(const CommandContext& c, const wire::Team& team);
Events RemoveTeam(const CommandContext& c, const std::string& which);
// The first event is the job.submitted, whose body has the id.
Events SubmitJob(const CommandContext& c, const wire::JobSpec& spec);
// Nothing to do (it has ended already) is kFailedPrecondition; asked twice is fine and no event.
Events CancelJob(const CommandContext& c, const std::string& which);
Events CreateService(const CommandContext& c, const wire::ServiceSpec& spec);
Events UpdateService(const CommandContext& c, const wire::ServiceSpec& spec);
Events RetireService(const CommandContext& c, const std::string& which);
Events RecallLoan(const CommandContext& c, const std::string& which);
Events AddDataset(const CommandContext& c, const wire::Dataset& dataset);
Events AddModelVersion(const CommandContext& c, const wire::ModelVersion& version);
Events PutPipeline(const CommandContext& c, const wire::Pipeline& pipeline);
// What differs in the book after `change`; no event where nothing does.
Events ChangeMarket(const CommandContext& c, const MarketChange& change);
// Holds a finished plan of what to rent, in place of the one before.
Events PutPlan(const CommandContext& c, const wire::PlanDoc& plan);
Events SetSlotHealth(const CommandContext& c, const std::string& slot, wire::SlotHealth health,
                     const std::string& why);
// Marks every slot of a node, "node" or "site/node", as cordoned; the site's engine drains it too.
Events DrainNode(const CommandContext& c, const std::string& node, const std::string& why);
// Adds a site, or changes one: its driver, its cluster and the place of its data stay.
Events PutSite(const CommandContext& c, const wire::SiteSpec& site);
Events DrainSite(const CommandContext& c, const std::string& which, bool draining,
                 const std::string& why);
// kFailedPrecondition while anything holds a lease there.
Events RemoveSite(const CommandContext& c, const std::string& which);
Events CreateKey(const CommandContext& c, const wire::Key& key);
Events RevokeKey(const CommandContext& c, const std::string& name);

// "name: ..." or kOk. Shared with configuration.
Status CheckName(const std::string& field, const std::string& name);

}  // namespace weir::control
