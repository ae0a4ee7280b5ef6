// What `up`, `config` and `doctor` share: the flags made from the option table, the configuration
// file, the data folder.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "app/config.h"
#include "base/result.h"

namespace CLI {
class App;
}

namespace weir::app {

struct UpFlags {
  std::map<std::string, std::string> options;  // by option name, as given
  std::string data;                            // --data; empty: WEIR_DATA, else XDG
  std::string config_file;        // --config; empty: WEIR_CONFIG, else XDG, if it is there
  std::vector<std::string> text;  // --text PATH...: story.text
  bool empty = false;             // --empty: no first story
};

// Registers --data, --config, --text, --empty and one flag for each option.
std::shared_ptr<UpFlags> AddUpFlags(CLI::App& command);

struct Setup {
  Config config;
  std::string data;         // absolute
  std::string config_file;  // "" = none was read
};
Result<Setup> LoadSetup(const UpFlags& flags);

// Slots of the site `local`: site.slots, or two for each usable core and at least four.
int LocalSlots(const Config& config);

// Prints "weir COMMAND: error (hint)" to stderr; returns the error's exit status.
int Complain(const std::string& command, const Error& error);

}  // namespace weir::app
