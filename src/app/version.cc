#include "base/version.h"

#include <fmt/core.h>

#include <CLI/CLI.hpp>

#include "app/commands.h"

namespace weir::app {

void AddVersionCommand(CLI::App& app, int& exit_status) {
  CLI::App* command = app.add_subcommand("version", "Print the version of this program");
  auto json = std::make_shared<bool>(false);
  command->add_flag("--json", *json, "Print as JSON");
  command->callback([json, &exit_status] {
    if (*json)
      fmt::print("{{\"version\":\"{}\"}}\n", kVersion);
    else
      fmt::print("weir {}\n", kVersion);
    exit_status = 0;
  });
}

}  // namespace weir::app
