// What is made from the tree of commands itself: the sentence for a command line that is wrong, and
// completion for shells.
#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "app/commands.h"
#include "base/nearest.h"

namespace weir::app {

namespace {

std::vector<std::string> CommandsOf(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* sub : app.get_subcommands([](const CLI::App*) { return true; })) {
    if (!sub->get_name().empty() && !sub->get_group().empty()) names.push_back(sub->get_name());
  }
  return names;
}

std::vector<std::string> FlagsOf(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
    for (const std::string& name : option->get_snames()) names.push_back("-" + name);
  }
  return names;
}

// The command that the line got to, and its full name.
const CLI::App* Deepest(const CLI::App& app, std::string& name) {
  const CLI::App* at = &app;
  name = app.get_name();
  while (!at->get_subcommands().empty()) {
    at = at->get_subcommands().front();
    name += " " + at->get_name();
  }
  return at;
}

}  // namespace

std::string ExplainParseError(const CLI::App& app, const std::vector<std::string>& args,
                              const std::string& message) {
  std::string name;
  const CLI::App* at = Deepest(app, name);
  // The words below the command that was reached; those before it were understood.
  std::vector<std::string> commands = CommandsOf(*at);
  std::vector<std::string> flags = FlagsOf(*at);
  size_t depth = 0;
  for (const CLI::App* c = &app; !c->get_subcommands().empty(); c = c->get_subcommands().front())
    ++depth;
  for (const std::string& arg : args) {
    if (arg == "--") break;
    if (depth > 0 && !arg.starts_with("-")) {
      --depth;
      continue;
    }
    if (arg.size() > 1 && arg.starts_with("-")) {
      const std::string flag = arg.substr(0, arg.find('='));
      const bool known = std::ranges::find(flags, flag) != flags.end();
      const bool is_short = !flag.starts_with("--");
      if (known || is_short || depth > 0) continue;
      const std::string nearest = NearestOf(flag, flags);
      return fmt::format("weir: {} has no flag {}{}\n  see `{} --help`", name, flag,
                         nearest.empty() ? "" : fmt::format("; did you mean {}?", nearest), name);
    }
    if (!commands.empty() && std::ranges::find(commands, arg) == commands.end()) {
      const std::string nearest = NearestOf(arg, commands);
      return fmt::format("weir: {} has no command {}{}\n  see `{} --help`", name, arg,
                         nearest.empty() ? "" : fmt::format("; did you mean {}?", nearest), name);
    }
  }
  if (!commands.empty()) {
    return fmt::format("weir: say which: {} {}\n  see `{} --help`", name, fmt::join(commands, ", "),
                       name);
  }
  std::string line = message.substr(0, message.find('\n'));
  return fmt::format("weir: {}: {}\n  see `{} --help`", name, line, name);
}

namespace {

// "weir job" -> its commands and flags, for every command.
void Walk(const CLI::App& app, const std::string& path,
          const std::function<void(const std::string&, const CLI::App&)>& visit) {
  visit(path, app);
  for (const CLI::App* sub : app.get_subcommands([](const CLI::App*) { return true; })) {
    if (!sub->get_name().empty() && !sub->get_group().empty())
      Walk(*sub, path + " " + sub->get_name(), visit);
  }
}

}  // namespace

std::string CompletionScript(const CLI::App& app, const std::string& shell) {
  std::string out;
  if (shell == "fish") {
    out =
        "# weir completion for fish: save as ~/.config/fish/completions/weir.fish\n"
        "complete -c weir -f\n";
    Walk(app, "weir", [&](const std::string& path, const CLI::App& at) {
      const size_t words = static_cast<size_t>(std::count(path.begin(), path.end(), ' '));
      const std::string when =
          words == 0 ? std::string("__fish_use_subcommand")
                     : fmt::format("string match -q -- '{}*' (commandline -cp)", path);
      for (const CLI::App* sub : at.get_subcommands([](const CLI::App*) { return true; })) {
        std::string what = sub->get_description();
        std::erase(what, '\'');
        if (!sub->get_group().empty())
          out += fmt::format("complete -c weir -n \"{}\" -a {} -d '{}'\n", when, sub->get_name(),
                             what);
      }
      if (words == 0) return;
      for (const CLI::Option* option : at.get_options()) {
        std::string what = option->get_description();
        std::erase(what, '\'');
        for (const std::string& name : option->get_lnames())
          out += fmt::format("complete -c weir -n \"{}\" -l {} -d '{}'\n", when, name, what);
      }
    });
    return out;
  }
  // bash, and zsh through its bashcompinit: the words so far, without flags, choose the list.
  out = shell == "zsh" ? "#compdef weir\nautoload -U +X bashcompinit && bashcompinit\n" : "";
  out += "# weir completion: `source <(weir completion " + shell +
         ")`\n"
         "_weir() {\n"
         "  local path=weir word i\n"
         "  for ((i = 1; i < COMP_CWORD; i++)); do\n"
         "    word=\"${COMP_WORDS[i]}\"\n"
         "    case \"$path $word\" in\n";
  std::string known, lists;
  Walk(app, "weir", [&](const std::string& path, const CLI::App& at) {
    if (path != "weir") known += (known.empty() ? "" : "|") + fmt::format("\"{}\"", path);
    std::vector<std::string> words = CommandsOf(at);
    for (const std::string& flag : FlagsOf(at)) words.push_back(flag);
    lists += fmt::format("    \"{}\") words=\"{}\" ;;\n", path, fmt::join(words, " "));
  });
  out +=
      "      " + known +
      ") path=\"$path $word\" ;;\n    esac\n  done\n  local words=\n"
      "  case \"$path\" in\n" +
      lists +
      "  esac\n"
      "  COMPREPLY=($(compgen -W \"$words\" -- \"${COMP_WORDS[COMP_CWORD]}\"))\n"
      "  [ ${#COMPREPLY[@]} -gt 0 ] || COMPREPLY=($(compgen -f -- \"${COMP_WORDS[COMP_CWORD]}\"))\n"
      "}\ncomplete -F _weir weir\n";
  return out;
}

void AddCompletionCommand(CLI::App& app, int& exit_status) {
  CLI::App* command = app.add_subcommand("completion", "Print completion for bash, zsh or fish");
  auto shell = std::make_shared<std::string>();
  command->add_option("shell", *shell, "bash, zsh or fish")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
  command->footer("Examples:\n  source <(weir completion bash)");
  command->callback([&app, shell, &exit_status] {
    fmt::print("{}", CompletionScript(app, *shell));
    exit_status = 0;
  });
}

}  // namespace weir::app
