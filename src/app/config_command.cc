#include <CLI/CLI.hpp>
#include <memory>

#include "app/commands.h"
#include "app/config.h"
#include "app/setup.h"
#include "wire/schema.h"

namespace weir::app {

void AddConfigCommand(CLI::App& app, int& exit_status) {
  CLI::App* config = app.add_subcommand(
      "config", "The options of `weir up`: what they are and where they come from");
  config->require_subcommand(1);

  CLI::App* show =
      config->add_subcommand("show", "Print every option's value and where it came from");
  auto flags = AddUpFlags(*show);
  auto json = std::make_shared<bool>(false);
  auto changed = std::make_shared<bool>(false);
  show->add_flag("--json", *json, "Print as JSON");
  show->add_flag("--changed", *changed, "Only what is not at its default");
  show->footer(
      "Examples:\n  weir config show --changed\n  WEIR_SITE_SLOTS=8 weir config show --json");
  show->callback([flags, json, changed, &exit_status] {
    const Result<Setup> setup = LoadSetup(*flags);
    if (!setup) {
      exit_status = Complain("config show", setup.error());
      return;
    }
    wire::Json out = wire::Json::array();
    size_t name_width = 6, value_width = 5;
    for (const OptionInfo& o : Options()) {
      name_width = std::max(name_width, o.name.size());
      value_width =
          std::max(value_width, std::min<size_t>(40, setup->config.Get(o.name).text.size()));
    }
    if (!*json)
      fmt::print("{:<{}}  {:<{}}  {}\n", "OPTION", name_width, "VALUE", value_width, "FROM");
    for (const OptionInfo& o : Options()) {
      const Config::Value& value = setup->config.Get(o.name);
      if (*changed && value.source == "default") continue;
      if (*json) {
        out.push_back({{"name", o.name},
                       {"value", value.text},
                       {"source", value.source},
                       {"default", o.default_value},
                       {"help", o.help},
                       {"flag", o.Flag()},
                       {"env", o.Env()}});
      } else {
        fmt::print("{:<{}}  {:<{}}  {}\n", o.name, name_width,
                   value.text.empty() ? "-" : value.text, value_width, value.source);
      }
    }
    if (*json) fmt::print("{}\n", out.dump(2));
    exit_status = 0;
  });

  CLI::App* example =
      config->add_subcommand("example", "Print a commented configuration file with every default");
  example->footer("Example:\n  weir config example > ~/.config/weir/weir.toml");
  example->callback([&exit_status] {
    fmt::print("{}", ExampleToml());
    exit_status = 0;
  });
  CLI::App* table =
      config->add_subcommand("markdown", "Print the options as the table of docs/config.md");
  table->callback([&exit_status] {
    fmt::print("{}", OptionsMarkdown());
    exit_status = 0;
  });
}

}  // namespace weir::app
