// What a plan file takes from a running lab instead of from a file beside it:
//
//     history   = "lab:research"     what the journal tells of a class, or of a team: "lab:nlp"
//     contracts = "lab:contracts"    those of the lab's book that are signed and have not ended
//     offers    = "lab:offers"       those of its book that are open
//
// They become the tables that such files are, so that all else is as it is with files. A contract
// or an offer goes to the pool of its accelerator, of its region where there are several.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "app/client.h"
#include "lab/plan/text.h"

namespace weir::app {

class LabTables {
 public:
  // `plan_file`: the text of the plan, for its pools and its first month.
  LabTables(ClientFlags flags, std::string plan_file, std::string source)
      : flags_(std::move(flags)), plan_file_(std::move(plan_file)), source_(std::move(source)) {}

  static bool IsOfLab(std::string_view path) { return path.starts_with("lab:"); }
  // The table as CSV. kNotFound for a name that is none.
  Result<std::string> Read(const std::string& path);
  // What could not be taken over, and what a plan does not know of it.
  const std::vector<std::string>& notes() const { return notes_; }

 private:
  struct Pool {
    std::string name, accelerator, region;
  };
  Status ReadPlanFile();
  // Empty, with a note, where no pool fits.
  std::string PoolOf(const std::string& id, const std::string& accelerator,
                     const std::string& region);
  Result<std::string> Demand(const Client& client, const std::string& of);
  Result<std::string> Contracts(const Client& client);
  Result<std::string> Offers(const Client& client);

  ClientFlags flags_;
  std::string plan_file_, source_;
  std::vector<std::string> notes_;
  std::vector<Pool> pools_;
  plan::Month start_ = 0;
};

}  // namespace weir::app
