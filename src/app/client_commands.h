// What the commands that talk to a lab share: registering one, its flags, what it does with an
// answer.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <memory>
#include <string>

#include "app/client.h"
#include "app/show.h"

namespace weir::app {

// A leaf command with the connection's flags; `run` gets them once all are parsed.
inline CLI::App* AddLeaf(CLI::App& parent, const std::string& name, const std::string& what,
                         const std::string& examples, int& exit_status,
                         std::function<Status(const ClientFlags&)> run) {
  CLI::App* leaf = parent.add_subcommand(name, what);
  auto flags = std::make_shared<ClientFlags>();
  AddClientFlags(*leaf, *flags);
  if (!examples.empty()) leaf->footer("Examples:\n" + examples);
  leaf->callback([flags, run = std::move(run), &exit_status] {
    if (exit_status == 0) exit_status = Report(run(*flags));
  });
  return leaf;
}

inline CLI::App* AddGroup(CLI::App& app, const std::string& name, const std::string& what) {
  CLI::App* group = app.add_subcommand(name, what);
  group->require_subcommand(1);
  return group;
}

// Asks, and prints the answer: as it is with --json, else as `show` says.
template <class T>
Status AskAndShow(const ClientFlags& flags, const std::string& method, const std::string& path,
                  const std::string& body, const std::function<std::string(const T&)>& show) {
  const Client client = TRY(Client::Open(flags));
  const std::string answer = TRY(client.Ask(method, path, body));
  if (flags.json) {
    std::fputs(answer.c_str(), stdout);
    return {};
  }
  std::fputs(show(TRY(wire::FromText<T>(answer))).c_str(), stdout);
  return {};
}
// The same for a list.
template <class T>
Status ListAndShow(const ClientFlags& flags, const std::string& path,
                   const std::function<std::string(const std::vector<T>&)>& show) {
  const Client client = TRY(Client::Open(flags));
  const std::string answer = TRY(client.Get(path));
  if (flags.json) {
    std::fputs(answer.c_str(), stdout);
    return {};
  }
  const wire::Json json = TRY(wire::ParseJson(answer));
  std::fputs(
      show(TRY(wire::FromJson<std::vector<T>>(json.value("items", wire::Json::array()), "items")))
          .c_str(),
      stdout);
  return {};
}

// "2..8" or "4"; what: the flag, for the message.
Result<std::pair<int64_t, int64_t>> ParseRange(const std::string& what, const std::string& text);
Result<Duration> DurationFlag(const std::string& what, const std::string& text);
Result<double> SecondsFlag(const std::string& what, const std::string& text, double otherwise);
Result<int64_t> BytesFlag(const std::string& what, const std::string& text);
Result<std::map<std::string, std::string>> EnvFlags(const std::vector<std::string>& pairs);

// Ctrl-C and SIGTERM set a flag instead of ending the program; for commands that clean up.
void CatchInterrupt();
bool Interrupted();

Time Now();  // of the real clock

Error BadFlag(std::string_view flag, std::string_view expected, std::string_view got);

}  // namespace weir::app
