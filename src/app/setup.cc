#include "app/setup.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>

#include "io/cores.h"
#include "io/files.h"

namespace weir::app {

std::shared_ptr<UpFlags> AddUpFlags(CLI::App& command) {
  auto flags = std::make_shared<UpFlags>();
  command.add_option("--data", flags->data,
                     "Folder of the lab's data (default: $XDG_DATA_HOME/weir)");
  command.add_option("--config", flags->config_file,
                     "Configuration file (default: $XDG_CONFIG_HOME/weir/weir.toml)");
  command.add_option("--text", flags->text, "Files and folders that the first story trains on");
  command.add_flag("--empty", flags->empty, "Begin with an empty lab: no first story");
  for (const OptionInfo& option : Options()) {
    command
        .add_option_function<std::string>(
            option.Flag(),
            [flags, name = option.name](const std::string& value) { flags->options[name] = value; },
            option.help)
        ->type_name(option.default_value.empty() ? "" : "[" + option.default_value + "]")
        ->group(option.name.substr(0, option.name.find('.')));
  }
  return flags;
}

Result<Setup> LoadSetup(const UpFlags& flags) {
  const io::EnvLookup env = io::ProcessEnv();
  Setup setup;
  std::map<std::string, std::string> options = flags.options;
  if (!flags.text.empty()) {
    std::string joined;
    for (const std::string& path : flags.text) {
      std::error_code ec;
      const std::string absolute = std::filesystem::absolute(path, ec).string();
      if (!io::FileExists(absolute)) {
        return Error(Code::kNotFound, fmt::format("--text: {} is not there", path))
            .Hint("give files or folders");
      }
      if (absolute.find(':') != std::string::npos) {
        return Error(Code::kInvalidArgument, fmt::format("--text: {} has a ':' in its name", path));
      }
      joined += (joined.empty() ? "" : ":") + absolute;
    }
    options["story.text"] = joined;
  }
  if (flags.empty) options["story.enabled"] = "false";

  setup.config_file = flags.config_file;
  if (setup.config_file.empty()) setup.config_file = env("WEIR_CONFIG").value_or("");
  std::string text;
  if (!setup.config_file.empty()) {
    text = TRY(io::ReadFile(setup.config_file, 1 << 20));
  } else if (const Result<std::string> dir = io::DefaultConfigDir(env);
             dir && io::FileExists(*dir + "/weir.toml")) {
    setup.config_file = *dir + "/weir.toml";
    text = TRY(io::ReadFile(setup.config_file, 1 << 20));
  }
  setup.config = TRY(Config::Load(options, env, text, setup.config_file));

  setup.data = flags.data;
  if (setup.data.empty()) setup.data = env("WEIR_DATA").value_or("");
  if (setup.data.empty()) setup.data = TRY(io::DefaultDataDir(env));
  std::error_code ec;
  setup.data = std::filesystem::absolute(setup.data, ec).lexically_normal().string();
  while (setup.data.size() > 1 && setup.data.back() == '/') setup.data.pop_back();
  return setup;
}

int LocalSlots(const Config& config) {
  const int64_t asked = config.Integer("site.slots");
  return asked > 0 ? static_cast<int>(asked)
                   : std::max(4, 2 * static_cast<int>(io::UsableCores().size()));
}

int Complain(const std::string& command, const Error& error) {
  fmt::print(stderr, "weir {}: {}\n", command, error.ToString());
  return InfoOf(error.code()).exit_status;
}

}  // namespace weir::app
