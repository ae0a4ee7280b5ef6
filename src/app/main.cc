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

  AddUpCommand(app, exit_status);
  AddConfigCommand(app, exit_status);
  AddDoctorCommand(app, exit_status);
  AddVersionCommand(app, exit_status);
  AddBlueprintCommand(app, exit_status);
  AddOfferCommand(app, exit_status);
  AddContractCommand(app, exit_status);
  AddSpendCommand(app, exit_status);
  AddPlanCommand(app, exit_status);
  AddLoadCommand(app, exit_status);
  AddShimCommand(app, exit_status);
  AddServeCommand(app, exit_status);
  AddTrainCommand(app, exit_status);
  AddSimCommand(app, exit_status);
  AddWorkCommands(app, exit_status);
  AddLabCommands(app, exit_status);
  AddSiteCommands(app, exit_status);
  AddCompletionCommand(app, exit_status);

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help
    const std::string sentence =
        ExplainParseError(app, std::vector<std::string>(argv + 1, argv + argc), error.what());
    std::fprintf(stderr, "%s\n", sentence.c_str());
    return 2;
  } catch (const std::exception& error) {
    weir::log::error("{}", error.what());
    return 1;
  }
  return exit_status;
}
