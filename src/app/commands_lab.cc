// weir status, top, why, loan, team, slot, node, key, journal, dataset, model.
#include <fmt/format.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>
#include <charconv>

#include <filesystem>

#include "app/client_commands.h"
#include "app/commands.h"
#include "control/journal.h"
#include "engine/model/model_files.h"
#include "io/clock.h"
#include "io/files.h"
#include "io/sqlite_store.h"

namespace weir::app {

namespace {

// ---- status and top ----

// The screen as `weir top` shows it: as many lines as fit, none longer than the screen.
class Screen {
 public:
  Screen() : is_terminal_(isatty(STDOUT_FILENO) && Style::For().colour) {
    if (!is_terminal_) return;
    CatchInterrupt();
    if (tcgetattr(STDIN_FILENO, &before_) == 0) {
      termios now = before_;
      now.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
      has_keys_ = tcsetattr(STDIN_FILENO, TCSANOW, &now) == 0;
    }
    std::fputs("\x1b[?1049h\x1b[?25l", stdout);  // the alternate screen, no cursor
  }
  ~Screen() {
    if (!is_terminal_) return;
    std::fputs("\x1b[?25h\x1b[?1049l", stdout);
    std::fflush(stdout);
    if (has_keys_) tcsetattr(STDIN_FILENO, TCSANOW, &before_);
  }
  void Show(const std::string& text) {
    if (!is_terminal_) {  // a dumb terminal or a file: one picture after another
      std::fputs((text + "\n").c_str(), stdout);
      std::fflush(stdout);
      return;
    }
    winsize size{};
    ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
    const int rows = size.ws_row > 1 ? size.ws_row : 24;
    // Long lines are cut by the terminal, not wrapped, while drawing.
    std::string out = "\x1b[?7l\x1b[H";
    int row = 0;
    for (size_t at = 0; at < text.size() && row < rows - 1; ++row) {
      const size_t end = std::min(text.find('\n', at), text.size());
      out += text.substr(at, end - at) + "\x1b[K\n";
      at = end + 1;
    }
    out += "\x1b[J\x1b[?7h";
    std::fputs(out.c_str(), stdout);
    std::fflush(stdout);
  }
  bool WantsToQuit() {
    if (Interrupted()) return true;
    if (!has_keys_) return false;
    pollfd keys{STDIN_FILENO, POLLIN, 0};
    char c = 0;
    while (poll(&keys, 1, 0) > 0 && read(STDIN_FILENO, &c, 1) == 1) {
      if (c == 'q' || c == 'Q' || c == 3 || c == 27) return true;
    }
    return false;
  }

 private:
  const bool is_terminal_;
  bool has_keys_ = false;
  termios before_{};
};

Status Top(const ClientFlags& flags, int64_t pictures) {
  const Client client = TRY(Client::Open(flags));
  Screen screen;
  SseReader reader;
  int64_t shown = 0;
  Status wrong;
  const Status ended = client.Follow(
      "/api/v1/events",
      [&](std::string_view bytes) {
        return reader.Feed(bytes, [&](const std::string&, const std::string& data) {
          if (flags.json) {
            fmt::print("{}\n", data);
            std::fflush(stdout);
          } else {
            const auto view = wire::FromText<wire::LabView>(data);
            if (!view) {
              wrong = view.error();
              return false;
            }
            screen.Show(ShowStatus(*view, Style::For()));
          }
          return !(pictures > 0 && ++shown >= pictures) && !screen.WantsToQuit();
        });
      },
      [&] { return screen.WantsToQuit(); });
  TRY(std::move(wrong));
  return ended;
}

void AddStatusAndTop(CLI::App& app, int& exit_status) {
  AddLeaf(app, "status", "The lab on one screen", "  weir status\n  weir status --json | jq .slots",
          exit_status, [](const ClientFlags& flags) {
            return AskAndShow<wire::LabView>(flags, "GET", "/api/v1/lab", "", [](const auto& view) {
              return ShowStatus(view, Style::For());
            });
          });
  auto pictures = std::make_shared<int64_t>(0);
  AddLeaf(app, "top", "The lab, live; q quits", "  weir top\n  weir top -n 1 | cat", exit_status,
          [=](const ClientFlags& flags) { return Top(flags, *pictures); })
      ->add_option("-n", *pictures, "Quit after so many pictures");
}

void AddWhy(CLI::App& app, int& exit_status) {
  CLI::App* why = AddGroup(app, "why", "What was decided, on which numbers, what would change it");
  for (const char* kind : {"job", "service", "loan"}) {
    auto which = std::make_shared<std::string>();
    AddLeaf(*why, kind, fmt::format("About a {}", kind), fmt::format("  weir why {} NAME", kind),
            exit_status,
            [=, path = fmt::format("/api/v1/{}s/", kind)](const ClientFlags& flags) {
              return AskAndShow<wire::WhyView>(
                  flags, "GET", path + Segment(*which) + "/why", "",
                  [](const auto& w) { return ShowWhy(w, Style::For()); });
            })
        ->add_option("name", *which, "Its name or id")
        ->required();
  }
}

// ---- loans, teams, slots ----

void AddLoan(CLI::App& app, int& exit_status) {
  CLI::App* loan = AddGroup(app, "loan", "Research capacity lent to product: list, show, recall");
  AddLeaf(*loan, "list", "Loans, those not returned first", "  weir loan list", exit_status,
          [](const ClientFlags& flags) {
            return ListAndShow<wire::Loan>(flags, "/api/v1/loans", [](const auto& all) {
              return ShowLoans(all, Now(), Style::For());
            });
          });
  auto which = std::make_shared<std::string>();
  const auto show = [](const wire::Loan& l) { return ShowLoan(l, Now(), Style::For()); };
  AddLeaf(*loan, "show", "One loan", "  weir loan show loan-3", exit_status,
          [=](const ClientFlags& flags) {
            return AskAndShow<wire::Loan>(flags, "GET", "/api/v1/loans/" + Segment(*which), "",
                                          show);
          })
      ->add_option("loan", *which, "Id of the loan")
      ->required();
  AddLeaf(*loan, "recall", "Ask for it back now", "  weir loan recall loan-3", exit_status,
          [=](const ClientFlags& flags) {
            return AskAndShow<wire::Loan>(flags, "POST",
                                          "/api/v1/loans/" + Segment(*which) + "/recall", "", show);
          })
      ->add_option("loan", *which, "Id of the loan")
      ->required();
}

// "h100=16,weight=2,borrow=8,lend=4" as wire::TypeQuota.
Result<wire::Json> QuotasOf(const std::vector<std::string>& texts) {
  wire::Json all = wire::Json::array();
  for (const std::string& text : texts) {
    const auto bad = [&](std::string_view what) {
      return Error(Code::kInvalidArgument, fmt::format("--quota: \"{}\" {}", text, what))
          .Hint("such as h100=16 or h100=16,weight=2,borrow=8,lend=4");
    };
    wire::Json quota = wire::Json::object();
    size_t at = 0;
    while (at <= text.size()) {
      const size_t end = std::min(text.find(',', at), text.size());
      const std::string part = text.substr(at, end - at);
      const size_t equals = part.find('=');
      if (equals == std::string::npos || equals == 0) return bad("is not TYPE=GUARANTEE");
      const std::string name = part.substr(0, equals), value = part.substr(equals + 1);
      int64_t number = 0;
      const auto [stop, error] = std::from_chars(value.data(), value.data() + value.size(), number);
      if (error != std::errc() || stop != value.data() + value.size())
        return bad(fmt::format("has \"{}\" where a whole number belongs", value));
      if (at == 0) {
        quota["type"] = name;
        quota["guarantee_slots"] = number;
      } else if (name == "weight") {
        quota["weight"] = number;
      } else if (name == "borrow") {
        quota["borrow_limit_slots"] = number;
      } else if (name == "lend") {
        quota["lend_limit_slots"] = number;
      } else {
        return bad(fmt::format("has \"{}\", which is not one of weight, borrow, lend", name));
      }
      at = end + 1;
    }
    all.push_back(std::move(quota));
  }
  return all;
}

void AddTeam(CLI::App& app, int& exit_status) {
  CLI::App* team = AddGroup(app, "team", "Owners of work and of quotas: list, put, remove");
  AddLeaf(
      *team, "list", "Every team", "  weir team list", exit_status, [](const ClientFlags& flags) {
        return ListAndShow<wire::Team>(
            flags, "/api/v1/teams", [](const auto& all) { return ShowTeams(all, Style::For()); });
      });
  AddLeaf(*team, "tree", "The tree of quotas: entitlement, use, lent and borrowed slots",
          "  weir team tree", exit_status, [](const ClientFlags& flags) -> Status {
            const Client client = TRY(Client::Open(flags));
            const auto view = TRY(client.GetAs<wire::LabView>("/api/v1/lab"));
            if (flags.json) {
              wire::Json all = wire::Json::array();
              for (const wire::QuotaView& q : view.quotas) all.push_back(wire::ToJson(q));
              fmt::print("{}\n", all.dump(2));
              return {};
            }
            std::fputs(ShowQuotas(view, Style::For()).c_str(), stdout);
            return {};
          });
  struct Given {
    std::string name;
    std::optional<std::string> team_class, parent;
    std::optional<int64_t> guarantee, weight, lend_limit, borrow_limit;
    std::optional<double> budget_slot_h, budget_usd, user_budget_slot_h, user_budget_usd;
    std::vector<std::string> quotas;
  };
  auto given = std::make_shared<Given>();
  CLI::App* put = AddLeaf(*team, "put", "Create a team, or change what is given of one",
                          "  weir team put nlp --class research --parent research --guarantee 4\n"
                          "  weir team put nlp --lend-limit 2",
                          exit_status, [=](const ClientFlags& flags) -> Status {
                            const Client client = TRY(Client::Open(flags));
                            const std::string path = "/api/v1/teams/" + Segment(given->name);
                            wire::Json team_json = {{"name", given->name}};
                            const Result<std::string> before = client.Get(path);
                            if (before)
                              team_json = TRY(wire::ParseJson(*before));
                            else if (before.error().code() != Code::kNotFound)
                              return before.error();
                            if (given->team_class) team_json["class"] = *given->team_class;
                            if (given->parent) team_json["parent"] = *given->parent;
                            if (given->guarantee) team_json["guarantee_slots"] = *given->guarantee;
                            if (given->weight) team_json["weight"] = *given->weight;
                            if (given->lend_limit)
                              team_json["lend_limit_slots"] = *given->lend_limit;
                            if (given->borrow_limit)
                              team_json["borrow_limit_slots"] = *given->borrow_limit;
                            for (const auto& [field, value] :
                                 {std::pair("budget_slot_h", given->budget_slot_h),
                                  std::pair("budget_usd", given->budget_usd),
                                  std::pair("user_budget_slot_h", given->user_budget_slot_h),
                                  std::pair("user_budget_usd", given->user_budget_usd)}) {
                              if (value) team_json[field] = *value;
                            }
                            if (!given->quotas.empty())
                              team_json["quotas"] = TRY(QuotasOf(given->quotas));
                            if (!team_json.contains("class")) {
                              return Error(Code::kInvalidArgument, "--class: a new team needs one")
                                  .Hint("research or product");
                            }
                            return AskAndShow<wire::Team>(
                                flags, "PUT", path, team_json.dump(),
                                [](const auto& t) { return ShowTeams({t}, Style::For()); });
                          });
  put->add_option("name", given->name, "Its name")->required();
  put->add_option("--class", given->team_class, "research or product");
  put->add_option("--parent", given->parent, "The team above it");
  put->add_option("--guarantee", given->guarantee, "Slots it gets whenever it has work");
  put->add_option("--weight", given->weight, "Share of what nobody is guaranteed");
  put->add_option("--lend-limit", given->lend_limit, "Most slots out on loan; -1 = all");
  put->add_option("--borrow-limit", given->borrow_limit,
                  "Most slots beyond the guarantee; -1 = no limit");
  put->add_option(
         "--quota", given->quotas,
         "Of one accelerator type: TYPE=GUARANTEE[,weight=N][,borrow=N][,lend=N]; as often "
         "as needed, in place of those before")
      ->type_size(1)
      ->allow_extra_args(false);
  put->add_option("--budget-slot-h", given->budget_slot_h, "Slot-hours it may use; -1 = no limit");
  put->add_option("--budget-usd", given->budget_usd, "US dollars it may use; -1 = no limit");
  put->add_option("--user-budget-slot-h", given->user_budget_slot_h,
                  "Slot-hours each of its users may use; -1 = no limit");
  put->add_option("--user-budget-usd", given->user_budget_usd,
                  "US dollars each of its users may use; -1 = no limit");
  auto which = std::make_shared<std::string>();
  AddLeaf(*team, "remove", "Remove a team that has no work", "  weir team remove nlp", exit_status,
          [=](const ClientFlags& flags) -> Status {
            const Client client = TRY(Client::Open(flags));
            TRY(client.Ask("DELETE", "/api/v1/teams/" + Segment(*which)));
            if (!flags.json) fmt::print("{} is removed\n", *which);
            return {};
          })
      ->add_option("team", *which, "Its name")
      ->required();
}

void AddSlotAndNode(CLI::App& app, int& exit_status) {
  CLI::App* slot = AddGroup(app, "slot", "Schedulable accelerators: list, cordon, uncordon");
  AddLeaf(*slot, "list", "Every slot and who holds it", "  weir slot list", exit_status,
          [](const ClientFlags& flags) -> Status {
            const Client client = TRY(Client::Open(flags));
            if (flags.json) {
              std::fputs(TRY(client.Get("/api/v1/slots")).c_str(), stdout);
              return {};
            }
            const auto view = TRY(client.GetAs<wire::LabView>("/api/v1/lab"));
            std::fputs(ShowSlots(view, Style::For()).c_str(), stdout);
            return {};
          });
  CLI::App* node = AddGroup(app, "node", "Every slot of a host at once: cordon, uncordon");
  for (CLI::App* group : {slot, node}) {
    const std::string kind = group->get_name();
    for (const char* verb : {"cordon", "uncordon", "drain"}) {
      if (kind == "slot" && std::string(verb) == "drain") continue;
      auto which = std::make_shared<std::string>();
      auto why = std::make_shared<std::string>();
      CLI::App* c =
          AddLeaf(*group, verb,
                  std::string(verb) == "cordon" ? "Start nothing new there; what runs goes on"
                  : std::string(verb) == "drain"
                      ? "Cordon it, and have its site's engine (Slurm) drain it too"
                      : "Use it again; ends a drain as well",
                  fmt::format("  weir {} {} {}", kind, verb, kind == "slot" ? "local/n1/0" : "n1"),
                  exit_status, [=, verb = std::string(verb)](const ClientFlags& flags) -> Status {
                    const Client client = TRY(Client::Open(flags));
                    const std::string answer = TRY(client.Ask(
                        "POST", fmt::format("/api/v1/{}s/{}/{}", kind, Segment(*which), verb),
                        wire::ToText(wire::CordonRequest{*why})));
                    if (flags.json)
                      std::fputs(answer.c_str(), stdout);
                    else
                      fmt::print("{} is {}ed\n", *which, verb);
                    return {};
                  });
      c->add_option(kind, *which, kind == "slot" ? "Id: site/node/index" : "Name, or site/node")
          ->required();
      c->add_option("--why", *why, "Shown beside it");
    }
  }
}

// ---- keys ----

void AddKey(CLI::App& app, int& exit_status) {
  CLI::App* key = AddGroup(app, "key", "Who may call: create, list, revoke");
  struct Given {
    std::string name, role, team, service, expires;
    int64_t tier = 1;
  };
  auto given = std::make_shared<Given>();
  CLI::App* c = AddLeaf(
      *key, "create", "Make a key; its secret is shown once",
      "  weir key create shop --role client --service chat\n"
      "  weir key create alice --role member --team research --expires-in 90d",
      exit_status, [=](const ClientFlags& flags) -> Status {
        wire::Json body = {{"name", given->name}, {"role", given->role}, {"tier", given->tier}};
        if (!given->team.empty()) body["team"] = given->team;
        if (!given->service.empty()) body["service"] = given->service;
        if (!given->expires.empty())
          body["expires_in_us"] = TRY(DurationFlag("--expires-in", given->expires))
        .us;
        return AskAndShow<wire::CreatedKey>(
            flags, "POST", "/api/v1/keys", body.dump(),
            [](const wire::CreatedKey& made) { return fmt::format("{}\n", made.secret); });
      });
  c->add_option("name", given->name, "Says who holds it; shown wherever it does something")
      ->required();
  c->add_option("--role", given->role, "admin, member or client")->required();
  c->add_option("--team", given->team, "Members: their team");
  c->add_option("--service", given->service, "Clients: the service they may call; any if not said");
  c->add_option("--tier", given->tier, "Clients: 1 is shed last");
  c->add_option("--expires-in", given->expires, "Such as 90d; never if not said");
  AddLeaf(*key, "list", "Every key, without its secret", "  weir key list", exit_status,
          [](const ClientFlags& flags) {
            return ListAndShow<wire::KeyView>(flags, "/api/v1/keys", [](const auto& all) {
              return ShowKeys(all, Now(), Style::For());
            });
          });
  auto which = std::make_shared<std::string>();
  AddLeaf(*key, "revoke", "Refuse it from now on", "  weir key revoke shop", exit_status,
          [=](const ClientFlags& flags) -> Status {
            const Client client = TRY(Client::Open(flags));
            TRY(client.Ask("DELETE", "/api/v1/keys/" + Segment(*which)));
            if (!flags.json) fmt::print("{} is revoked\n", *which);
            return {};
          })
      ->add_option("key", *which, "Its name")
      ->required();
}

// ---- journal ----

void AddJournal(CLI::App& app, int& exit_status) {
  CLI::App* journal = AddGroup(app, "journal", "What was decided and done: show, follow, verify");
  struct Given {
    std::string subject;
    int64_t last = 50, from = 0;
    bool follow = false;
  };
  auto given = std::make_shared<Given>();
  const auto follow = [given](const ClientFlags& flags) -> Status {
    const Client client = TRY(Client::Open(flags));
    std::string path = "/api/v1/journal?follow=true";
    path += given->from > 0 ? fmt::format("&from={}", given->from)
                            : fmt::format("&last={}", given->last);
    if (!given->subject.empty()) path += "&subject=" + Segment(given->subject);
    SseReader reader;
    Status wrong;
    const Status ended = client.Follow(path, [&](std::string_view bytes) {
      return reader.Feed(bytes, [&](const std::string& event, const std::string& data) {
        if (event != "record") {
          wrong = Error(Code::kUnavailable, data);
          return false;
        }
        if (flags.json) {
          fmt::print("{}\n", data);
        } else if (const auto record = wire::FromText<wire::JournalRecord>(data)) {
          std::fputs(ShowRecord(*record, Style::For()).c_str(), stdout);
        }
        return std::fflush(stdout) == 0;
      });
    });
    TRY(std::move(wrong));
    return ended;
  };
  CLI::App* show =
      AddLeaf(*journal, "show", "Records, the newest if not said otherwise",
              "  weir journal show --last 20\n  weir journal show --subject loan-3\n"
              "  weir journal show --follow",
              exit_status, [=](const ClientFlags& flags) -> Status {
                if (given->follow) return follow(flags);
                std::string path = "/api/v1/journal";
                path += given->from > 0 ? fmt::format("?from={}&limit={}", given->from, given->last)
                                        : fmt::format("?last={}", given->last);
                if (!given->subject.empty()) path += "&subject=" + Segment(given->subject);
                return AskAndShow<wire::JournalPage>(flags, "GET", path, "", [](const auto& page) {
                  std::string out;
                  for (const auto& record : page.records) out += ShowRecord(record, Style::For());
                  return out;
                });
              });
  show->add_flag("-f,--follow", given->follow, "Go on with new ones");
  CLI::App* tail = AddLeaf(*journal, "follow", "New records as they are written",
                           "  weir journal follow --subject chat", exit_status, follow);
  for (CLI::App* c : {show, tail}) {
    c->add_option("--subject", given->subject, "Only about this id or name");
    c->add_option("--last", given->last, "So many of the newest")->check(CLI::Range(1, 1000));
    c->add_option("--from", given->from, "From this record on")->check(CLI::PositiveNumber);
  }
  AddLeaf(*journal, "verify",
          "Check that no record was changed or lost, and that the state is what they replay to",
          "  weir journal verify --data DIR", exit_status, [](const ClientFlags& flags) -> Status {
            const std::string data = TRY(DataFolder(flags, io::ProcessEnv()));
            const auto store =
                TRY(io::OpenSqliteStore(data + "/weir.db", {.create = false, .read_only = true}));
            const control::JournalReport report = TRY(control::Verify(*store));
            if (!report.problem.empty())
              return Error(Code::kDataLoss, report.problem).Hint(report.hint);
            if (flags.json) {
              fmt::print("{}\n", wire::Json{{"records", report.records},
                                            {"snapshot_seq", report.snapshot_seq},
                                            {"last_hash", report.last_hash}}
                                     .dump());
            } else {
              fmt::print(
                  "{} records, each as it was written, and the state is what they replay to{}; the "
                  "last "
                  "has hash {}\n",
                  report.records,
                  report.snapshot_seq > 0
                      ? fmt::format(" (from the snapshot at {} too)", report.snapshot_seq)
                      : "",
                  report.last_hash);
            }
            return {};
          });
  auto to = std::make_shared<std::string>();
  CLI::App* salvage = AddLeaf(
      *journal, "salvage", "Copy the intact records of a damaged journal to a new data folder",
      "  weir journal salvage --data DIR --to NEWDIR", exit_status,
      [to](const ClientFlags& flags) -> Status {
        const std::string data = TRY(DataFolder(flags, io::ProcessEnv()));
        TRY(io::MakeDirs(*to));
        const io::SalvageReport report =
            TRY(io::SalvageSqliteStore(data + "/weir.db", *to + "/weir.db"));
        fmt::print("{} records kept, {}{} lost{}{}\nstart it with: weir up --data {}\n",
                   report.records_kept, report.lost_is_exact ? "" : "at least ",
                   report.records_lost, report.problem.empty() ? "" : ": ", report.problem, *to);
        return {};
      });
  salvage->add_option("--to", *to, "Folder for the copy")->required();
}

// ---- datasets and models ----

void AddDatasetAndModel(CLI::App& app, int& exit_status) {
  CLI::App* dataset = AddGroup(app, "dataset", "Immutable data: list, show, add, build");
  AddDatasetBuildCommand(*dataset, exit_status);
  AddLeaf(*dataset, "list", "Every dataset", "  weir dataset list", exit_status,
          [](const ClientFlags& flags) {
            return ListAndShow<wire::Dataset>(flags, "/api/v1/datasets", [](const auto& all) {
              return ShowDatasets(all, Style::For());
            });
          });
  auto which = std::make_shared<std::string>();
  AddLeaf(*dataset, "show", "One dataset: what was taken, what was dropped",
          "  weir dataset show docs", exit_status,
          [=](const ClientFlags& flags) {
            return AskAndShow<wire::Dataset>(flags, "GET", "/api/v1/datasets/" + Segment(*which),
                                             "", [](const wire::Dataset& d) {
                                               return ShowDatasets({d}, Style::For()) +
                                                      d.report.dump(2) + "\n";
                                             });
          })
      ->add_option("dataset", *which, "Its name or id")
      ->required();
  auto folder = std::make_shared<std::string>();
  auto name = std::make_shared<std::string>();
  CLI::App* add = AddLeaf(
      *dataset, "add", "Register a folder that `weir dataset build` wrote",
      "  weir dataset add ./docs-dataset --name docs", exit_status,
      [=](const ClientFlags& flags) -> Status {
        std::error_code ec;
        const std::string path = std::filesystem::absolute(*folder, ec).lexically_normal().string();
        const std::string text = TRY(io::ReadFile(path + "/manifest.json", 64 << 20));
        const wire::Json manifest = TRY(wire::ParseJson(text));
        const std::string sha = manifest.contains("sha256") && manifest["sha256"].is_string()
                                    ? manifest["sha256"].get<std::string>()
                                    : io::Sha256Hex(text);
        wire::Dataset d{
            .id = "ds-" + sha.substr(0, 12), .name = *name, .sha256 = sha, .path = path};
        if (manifest.contains("bytes") && manifest["bytes"].is_number_integer())
          d.bytes = manifest["bytes"];
        d.report = manifest.contains("report") ? manifest["report"] : wire::Json::object();
        return AskAndShow<wire::Dataset>(
            flags, "POST", "/api/v1/datasets", wire::ToText(d),
            [](const auto& added) { return ShowDatasets({added}, Style::For()); });
      });
  add->add_option("folder", *folder, "Folder with manifest.json")->required();
  add->add_option("--name", *name, "What to call it")->required();

  CLI::App* model = AddGroup(app, "model", "Models: list, show, add, and files of them");
  AddModelFileCommands(*model, exit_status);
  AddModelCompressCommands(*model, exit_status);
  AddLeaf(*model, "list", "Every version, oldest first", "  weir model list", exit_status,
          [](const ClientFlags& flags) {
            return ListAndShow<wire::ModelVersion>(flags, "/api/v1/models", [](const auto& all) {
              return ShowModels(all, Style::For());
            });
          });
  AddLeaf(*model, "show", "One version and where it comes from", "  weir model show tiny@3",
          exit_status,
          [=](const ClientFlags& flags) {
            return AskAndShow<wire::ModelVersion>(
                flags, "GET", "/api/v1/models/" + Segment(*which), "",
                [](const wire::ModelVersion& m) {
                  return ShowModels({m}, Style::For()) +
                         fmt::format(
                             "path     {}\nsha256   {}\ndataset  {}\nconfig   {}\ncode     "
                             "{}\n",
                             m.path, m.sha256, m.dataset_sha256, m.config_sha256, m.code_version);
                });
          })
      ->add_option("model", *which, "model@number, or a model for its newest version")
      ->required();
  auto path = std::make_shared<std::string>();
  auto parent = std::make_shared<std::string>();
  CLI::App* add_model = AddLeaf(
      *model, "add", "Register a model folder or a .gguf file as the next version of a model",
      "  weir model add ./llama-3.2-1b --name llama\n"
      "  weir model quantize ./llama-3.2-1b llama-q4.gguf --type Q4_0\n"
      "  weir model add llama-q4.gguf --name llama-q4 --parent llama@1",
      exit_status, [=](const ClientFlags& flags) -> Status {
        const auto files = TRY(model::ModelFiles::Open(*path));  // says what is wrong with it
        std::error_code ec;
        wire::ModelVersion version;
        version.model = *name;
        version.path = std::filesystem::absolute(*path, ec).lexically_normal().string();
        version.parent = *parent;
        version.vocab_size = files->config().vocab_size;
        return AskAndShow<wire::ModelVersion>(
            flags, "POST", "/api/v1/models", wire::ToText(version),
            [](const auto& added) { return ShowModels({added}, Style::For()); });
      });
  add_model->add_option("path", *path, "It stays where it is: keep it there")->required();
  add_model->add_option("--name", *name, "Of the model; the version gets the next number")
      ->required();
  add_model->add_option("--parent", *parent, "Version that it was made from, such as llama@1");
}

}  // namespace

void AddLabCommands(CLI::App& app, int& exit_status) {
  AddStatusAndTop(app, exit_status);
  AddWhy(app, exit_status);
  AddLoan(app, exit_status);
  AddTeam(app, exit_status);
  AddSlotAndNode(app, exit_status);
  AddDatasetAndModel(app, exit_status);
  AddJournal(app, exit_status);
  AddKey(app, exit_status);
}

}  // namespace weir::app
