#include "control/drivers/shim.h"

#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "app/commands.h"

namespace weir::app {

void AddShimCommand(CLI::App& app, int& exit_status) {
  CLI::App* command = app.add_subcommand("shim", "Run one rank from its folder (used by weir up)");
  command->group("");  // not listed: for the `local` driver, not for people
  auto dir = std::make_shared<std::string>();
  command->add_option("--dir", *dir, "The rank's folder, with spec.json in it")->required();
  command->callback([dir, &exit_status] { exit_status = control::RunShim(*dir); });
}

}  // namespace weir::app
