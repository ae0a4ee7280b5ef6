// Lab over a control loop in the same process: what REST and the CLI talk to.
//
// Threads   any. Changes take the loop's lock for one durable append; the journal, `why`, curves
// and
//           the past are read without it.
#pragma once

#include <mutex>

#include "control/lab.h"
#include "control/loop.h"

namespace weir::control {

class LocalLab final : public Lab {
 public:
  explicit LocalLab(ControlLoop& loop) : loop_(loop) {}

  Result<wire::Team> PutTeam(const wire::Team& team, const Actor& actor) override;
  Status RemoveTeam(const std::string& which, const Actor& actor) override;
  Result<wire::Job> SubmitJob(const wire::JobSpec& spec, const Actor& actor) override;
  Result<wire::DryRunView> TryJob(const wire::JobSpec& spec, const Actor& actor) override;
  Result<wire::Job> CancelJob(const std::string& which, const Actor& actor) override;
  Result<wire::Service> CreateService(const wire::ServiceSpec& spec, const Actor& actor) override;
  Result<wire::Service> UpdateService(const wire::ServiceSpec& spec, const Actor& actor) override;
  Result<wire::Service> RetireService(const std::string& which, const Actor& actor) override;
  Result<wire::Loan> RecallLoan(const std::string& which, const Actor& actor) override;
  Result<wire::Dataset> AddDataset(const wire::Dataset& dataset, const Actor& actor) override;
  Result<wire::ModelVersion> AddModelVersion(const wire::ModelVersion& version,
                                             const Actor& actor) override;
  Result<wire::Pipeline> PutPipeline(const wire::Pipeline& pipeline, const Actor& actor) override;
  Result<MarketState> ChangeMarket(const MarketChange& change, const Actor& actor) override;
  Result<wire::HeldPlan> PutPlan(const wire::PlanDoc& plan, const Actor& actor) override;
  Result<wire::Slot> SetSlotHealth(const std::string& slot, wire::SlotHealth health,
                                   const std::string& why, const Actor& actor) override;
  Result<std::vector<wire::Slot>> DrainNode(const std::string& node, const std::string& why,
                                            const Actor& actor) override;
  Result<wire::SiteSpec> PutSite(const wire::SiteSpec& site, const Actor& actor) override;
  Result<wire::SiteSpec> DrainSite(const std::string& which, bool draining, const std::string& why,
                                   const Actor& actor) override;
  Status RemoveSite(const std::string& which, const Actor& actor) override;
  Result<wire::Key> CreateKey(const wire::Key& key, const Actor& actor) override;
  Status RevokeKey(const std::string& name, const Actor& actor) override;

  std::shared_ptr<const wire::LabView> View() const override { return loop_.View(); }
  std::shared_ptr<const wire::LabView> WaitForChange(int64_t view_number,
                                                     Duration timeout) const override {
    return loop_.WaitForChange(view_number, timeout);
  }
  int64_t view_number() const override { return loop_.view_number(); }
  std::vector<wire::Key> Keys() const override;
  std::vector<wire::SiteSpec> Sites() const override;
  Result<std::vector<wire::SiteCheck>> CheckSite(const std::string& which) const override;
  MarketState Market() const override;
  std::optional<wire::HeldPlan> Plan() const override;
  Result<LabPast> Past() const override;
  Result<wire::JournalPage> Journal(int64_t from_seq, int64_t limit) const override;
  Result<wire::WhyView> Why(const std::string& kind, const std::string& which) const override;
  Result<wire::Curve> CurveOf(const std::string& job) const override;

 private:
  ControlLoop& loop_;
  mutable std::mutex past_mutex_;
  mutable PastFold past_;              // guarded by past_mutex_
  mutable int64_t past_next_seq_ = 1;  // guarded by past_mutex_: first record that past_ lacks
};

}  // namespace weir::control
