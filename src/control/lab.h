// Lab: the door to the control plane for everything above it (REST, CLI in process, dashboard).
//
// Changes are requests to the loop's thread; each returns once its journal record is durable, so an
// answer is an acknowledgement: kill -9 right after it loses nothing. Reads take the newest
// published view and never wait for the loop.
//
// Threads   every method may be called from any thread.
// Errors    bad specs kInvalidArgument with the field's path; a taken name kAlreadyExists; an
//           unknown one kNotFound; a store that cannot write kResourceExhausted or kUnavailable
//           (nothing is acknowledged, the loop goes on reading and says so in LabView::trouble).
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "control/lab_past.h"
#include "lab/market/book.h"
#include "wire/lab.h"
#include "wire/plan.h"
#include "wire/site.h"
#include "wire/view.h"

namespace weir::control {

// Who asks: the key's name goes into the journal. Permission is checked above, in gateway/ by
// guard/.
struct Actor {
  std::string name;
};

// A change of the book of offers and contracts: one of lab/market's functions, bound to what was
// asked. Says what was done, for the journal.
struct MarketNote {
  std::string text;
};
using MarketChange = std::function<Result<MarketNote>(market::Book&, market::Date today)>;
struct MarketState {
  market::Book book;
  market::Date today;
};

class Lab {
 public:
  virtual ~Lab() = default;

  // ---- changes; `which` is an id or a living object's name ----
  virtual Result<wire::Team> PutTeam(const wire::Team& team, const Actor& actor) = 0;
  virtual Status RemoveTeam(const std::string& which, const Actor& actor) = 0;
  virtual Result<wire::Job> SubmitJob(const wire::JobSpec& spec, const Actor& actor) = 0;
  // What the job would meet if it were submitted now; nothing is changed.
  virtual Result<wire::DryRunView> TryJob(const wire::JobSpec& spec, const Actor& actor) = 0;
  virtual Result<wire::Job> CancelJob(const std::string& which, const Actor& actor) = 0;
  virtual Result<wire::Service> CreateService(const wire::ServiceSpec& spec,
                                              const Actor& actor) = 0;
  // Replicas, SLO, tier, model...: everything but name and team. A new model starts a rollout.
  virtual Result<wire::Service> UpdateService(const wire::ServiceSpec& spec,
                                              const Actor& actor) = 0;
  virtual Result<wire::Service> RetireService(const std::string& which, const Actor& actor) = 0;
  virtual Result<wire::Loan> RecallLoan(const std::string& which, const Actor& actor) = 0;
  virtual Result<wire::Dataset> AddDataset(const wire::Dataset& dataset, const Actor& actor) = 0;
  // The version gets its number and id here.
  virtual Result<wire::ModelVersion> AddModelVersion(const wire::ModelVersion& version,
                                                     const Actor& actor) = 0;
  virtual Result<wire::Pipeline> PutPipeline(const wire::Pipeline& pipeline,
                                             const Actor& actor) = 0;
  // One change, all or nothing; the book after it.
  virtual Result<MarketState> ChangeMarket(const MarketChange& change, const Actor& actor) = 0;
  // The newest plan of what to rent, in place of the one before.
  virtual Result<wire::HeldPlan> PutPlan(const wire::PlanDoc& plan, const Actor& actor) = 0;
  virtual Result<wire::Slot> SetSlotHealth(const std::string& slot, wire::SlotHealth health,
                                           const std::string& why, const Actor& actor) = 0;
  // Every slot of the node is cordoned, and the site's engine keeps it free as well.
  virtual Result<std::vector<wire::Slot>> DrainNode(const std::string& node, const std::string& why,
                                                    const Actor& actor) = 0;
  // Looked at first (blocks for some seconds): the first thing that is missing is the error.
  virtual Result<wire::SiteSpec> PutSite(const wire::SiteSpec& site, const Actor& actor) = 0;
  virtual Result<wire::SiteSpec> DrainSite(const std::string& which, bool draining,
                                           const std::string& why, const Actor& actor) = 0;
  virtual Status RemoveSite(const std::string& which, const Actor& actor) = 0;
  // `key.hash` is made by guard/; the secret never comes here.
  virtual Result<wire::Key> CreateKey(const wire::Key& key, const Actor& actor) = 0;
  virtual Status RevokeKey(const std::string& name, const Actor& actor) = 0;

  // ---- reads ----
  virtual std::shared_ptr<const wire::LabView> View() const = 0;
  // Returns when the view is newer than `journal_seq` or traffic has moved, or after the timeout.
  virtual std::shared_ptr<const wire::LabView> WaitForChange(int64_t view_number,
                                                             Duration timeout) const = 0;
  virtual int64_t view_number() const = 0;
  virtual std::vector<wire::Key> Keys() const = 0;
  virtual std::vector<wire::SiteSpec> Sites() const = 0;  // those that were added
  // What the site needs, looked at now. Blocks for some seconds.
  virtual Result<std::vector<wire::SiteCheck>> CheckSite(const std::string& which) const = 0;
  virtual MarketState Market() const = 0;
  virtual std::optional<wire::HeldPlan> Plan() const = 0;
  // What the journal tells of use and demand up to now. The first call reads all of it, later ones
  // what came since; either may block while it reads.
  virtual Result<LabPast> Past() const = 0;
  virtual Result<wire::JournalPage> Journal(int64_t from_seq, int64_t limit) const = 0;
  virtual Result<wire::WhyView> Why(const std::string& kind, const std::string& which) const = 0;
  virtual Result<wire::Curve> CurveOf(const std::string& job) const = 0;
};

}  // namespace weir::control
