// The commands of `weir`, one file each. A command file holds flags and wiring, no logic: it fills
// an options struct and calls the folder that owns the subject. A new command is one file and two
// lines: its declaration here and its call in main.cc.
//
// Each Add...Command registers a subcommand on `app`; when that subcommand was chosen, its callback
// runs and stores the process's exit status (the table in docs/cli.md) in `exit_status`.
#pragma once

#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace weir::app {

void AddUpCommand(CLI::App& app, int& exit_status);
void AddConfigCommand(CLI::App& app, int& exit_status);
void AddDoctorCommand(CLI::App& app, int& exit_status);
void AddVersionCommand(CLI::App& app, int& exit_status);
void AddBlueprintCommand(CLI::App& app, int& exit_status);
void AddOfferCommand(CLI::App& app, int& exit_status);
void AddContractCommand(CLI::App& app, int& exit_status);
void AddSpendCommand(CLI::App& app, int& exit_status);
void AddPlanCommand(CLI::App& app, int& exit_status);
void AddLoadCommand(CLI::App& app, int& exit_status);
void AddShimCommand(CLI::App& app, int& exit_status);
void AddTrainCommand(CLI::App& app, int& exit_status);
void AddSimCommand(CLI::App& app, int& exit_status);
void AddDatasetBuildCommand(CLI::App& dataset, int& exit_status);  // below `dataset`
void AddServeCommand(CLI::App& app, int& exit_status);
void AddModelFileCommands(CLI::App& model, int& exit_status);      // below `model`
void AddModelCompressCommands(CLI::App& model, int& exit_status);  // below `model`
void AddWorkCommands(CLI::App& app, int& exit_status);             // job, service
// status, top, why, loan, team, slot, node, dataset, model, journal, key
void AddLabCommands(CLI::App& app, int& exit_status);
void AddSiteCommands(CLI::App& app, int& exit_status);       // site
void AddCompletionCommand(CLI::App& app, int& exit_status);  // after all others

// One sentence about a command line that cannot be understood, with the nearest word that can.
std::string ExplainParseError(const CLI::App& app, const std::vector<std::string>& args,
                              const std::string& message);

}  // namespace weir::app
