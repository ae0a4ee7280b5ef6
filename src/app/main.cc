// The `weir` program: finds the command and runs it. See commands.h.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <exception>

#include "app/commands.h"
#include "base/logging.h"

int main(int argc, char** argv) {
  using namespace weir::app;
  weir::log::Init("info");
  CLI::App app("Weir runs an AI lab's compute: research first, product by loan.", "weir");
  app.require_subcommand(1);
  int exit_status = 0;

  AddVersionCommand(app, exit_status);
  AddLoadCommand(app, exit_status);
  AddShimCommand(app, exit_status);
  AddServeCommand(app, exit_status);
  CLI::App* model = app.add_subcommand("model", "Models and their versions");
  model->require_subcommand(1);
  AddModelFileCommands(*model, exit_status);
  AddTrainCommand(app, exit_status);

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int code = app.exit(error);
    return code == 0 ? 0 : 2;
  } catch (const std::exception& error) {
    weir::log::error("{}", error.what());
    return 1;
  }
  return exit_status;
}
