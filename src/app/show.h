// What the commands print for people, as pure functions of what the API answered.
#pragma once

#include <string>
#include <vector>

#include "app/table.h"
#include "wire/api.h"
#include "wire/site.h"
#include "wire/view.h"

namespace weir::app {

// The lab on one screen. Also what `weir top` shows, again and again.
std::string ShowStatus(const wire::LabView& view, const Style& style);
std::string ShowJobs(const std::vector<wire::Job>& jobs, Time now, const Style& style);
std::string ShowJob(const wire::Job& job, Time now, const Style& style);
std::string ShowServices(const std::vector<wire::ServiceView>& services, const Style& style);
std::string ShowService(const wire::ServiceView& service, const Style& style);
std::string ShowLoans(const std::vector<wire::Loan>& loans, Time now, const Style& style);
std::string ShowLoan(const wire::Loan& loan, Time now, const Style& style);
std::string ShowTeams(const std::vector<wire::Team>& teams, const Style& style);
std::string ShowSlots(const wire::LabView& view, const Style& style);
std::string ShowSites(const wire::LabView& view, const Style& style);
std::string ShowSite(const wire::SiteSpec& site, const wire::LabView& view, const Style& style);
std::string ShowChecks(const std::vector<wire::SiteCheck>& checks);
std::string ShowDatasets(const std::vector<wire::Dataset>& datasets, const Style& style);
std::string ShowModels(const std::vector<wire::ModelVersion>& models, const Style& style);
std::string ShowKeys(const std::vector<wire::KeyView>& keys, Time now, const Style& style);
std::string ShowRecord(const wire::JournalRecord& record, const Style& style);
std::string ShowWhy(const wire::WhyView& why, const Style& style);
std::string ShowDryRun(const wire::DryRunView& run, const Style& style);
std::string ShowQuotas(const wire::LabView& view, const Style& style);

}  // namespace weir::app
