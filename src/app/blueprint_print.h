// What `weir blueprint` prints: tables for people, JSON for programs. No decisions here.
#pragma once

#include <string>
#include <vector>

#include "lab/blueprint/check_rows.h"
#include "lab/blueprint/fabric.h"
#include "lab/blueprint/plan_run.h"

namespace weir::app {

std::string ModelsText(bool json);
std::string AcceleratorsText(bool json);

std::string TrainText(const blueprint::TrainQuestion& q,
                      const std::vector<blueprint::TrainAnswer>& answers,
                      const blueprint::SearchResult* search, double wall_s, bool json);
std::string ServeText(const blueprint::ServeQuestion& q, int count,
                      const std::vector<blueprint::ServeAnswer>& answers,
                      const blueprint::ServeSearchResult* search, bool json);
std::string OffersText(const std::vector<blueprint::OfferAnswer>& answers, int64_t deadline,
                       bool json);
std::string FabricText(const blueprint::Fabric& f, bool json);
std::string CheckText(const blueprint::CheckReport& r, bool json);

}  // namespace weir::app
