// `weir site`: the places where a lab runs work, beside this machine.
#include <CLI/CLI.hpp>
#include <memory>

#include "app/client_commands.h"
#include "app/commands.h"
#include "wire/site.h"

namespace weir::app {

namespace {

struct SiteFlags {
  wire::SiteSpec spec;
  std::string via = "here";
  std::string unknown_after, lost_after, poll_every, start_within;
};

Result<wire::SiteSpec> SpecOf(const SiteFlags& f) {
  wire::SiteSpec spec = f.spec;
  const auto via = wire::EnumFrom<wire::SlurmVia>(f.via);
  if (!via)
    return Error(Code::kInvalidArgument,
                 fmt::format("--via: \"{}\" is not here, ssh or rest", f.via));
  spec.slurm.via = *via;
  if (spec.slurm.cluster.empty()) spec.slurm.cluster = spec.name;
  if (spec.slurm.gres == "none") spec.slurm.gres.clear();
  for (const auto& [flag, text, into] :
       {std::tuple("--unknown-after", &f.unknown_after, &spec.unknown_after),
        std::tuple("--lost-after", &f.lost_after, &spec.lost_after),
        std::tuple("--poll-every", &f.poll_every, &spec.slurm.poll_every),
        std::tuple("--start-within", &f.start_within, &spec.slurm.start_within)}) {
    if (!text->empty()) *into = TRY(DurationFlag(flag, *text));
  }
  return spec;
}

void AddSiteAdd(CLI::App& site, int& exit_status) {
  auto f = std::make_shared<SiteFlags>();
  CLI::App* c = AddLeaf(
      site, "add", "Add a cluster, or change one; it is looked at first and nothing is sent to it",
      "  weir site add north --via ssh --address weir@login.north --provider acme --price 2.10\n"
      "  weir site add lab2 --cluster hpc --partition a100 --account ml --data-at /scratch/weir\n"
      "  weir site add cpus --gres none --cpus-per-slot 8",
      exit_status, [f](const ClientFlags& flags) -> Status {
        const wire::SiteSpec spec = TRY(SpecOf(*f));
        return AskAndShow<wire::SiteSpec>(
            flags, "PUT", "/api/v1/sites/" + Segment(spec.name), wire::ToText(spec),
            [](const wire::SiteSpec& s) {
              return fmt::format(
                  "site {} is added; `weir site list` shows it, `weir doctor --site {}` "
                  "looks at it again\n",
                  s.name, s.name);
            });
      });
  wire::SiteSpec& s = f->spec;
  c->add_option("name", s.name, "What the lab calls it")->required();
  c->add_option("--driver", s.driver, "slurm");
  c->add_option("--via", f->via,
                "here: its commands on this host; ssh: on another; rest: slurmrestd");
  c->add_option("--address", s.slurm.address,
                "ssh: [user@]host, or a name of ~/.ssh/config; rest: http://HOST:PORT");
  c->add_option("--user", s.slurm.user, "rest: whose token it is");
  c->add_option("--token-file", s.slurm.token_file,
                "rest: a file with the token and nothing else; read anew at each question");
  c->add_option("--conf", s.slurm.conf, "slurm.conf, where it is not in its usual place");
  c->add_option("--cluster", s.slurm.cluster, "ClusterName; the site's name if not said");
  c->add_option("--partition", s.slurm.partition, "The cluster's default if not said");
  c->add_option("--account", s.slurm.account, "That pays");
  c->add_option("--qos", s.slurm.qos, "Quality of service");
  c->add_option("--reservation", s.slurm.reservation,
                "That the lab holds: only its nodes are used");
  c->add_option("--gres", s.slurm.gres, "What a slot is: gpu, or none for CPUs");
  c->add_option("--cpus-per-slot", s.slurm.cpus_per_slot,
                "CPUs of a slot; a node's CPUs by its accelerators if not said");
  c->add_option("--data-at", s.slurm.data_at,
                "Where the site sees the lab's data folder; the same path if not said");
  c->add_option("--weir-at", s.slurm.weir_at, "The weir program there; the same path if not said");
  c->add_option("--first-port", s.slurm.first_port,
                "Of the 10,000 that replicas and gangs may use");
  c->add_option("--provider", s.provider, "Who rents it out");
  c->add_option("--contract", s.contract, "Under which");
  c->add_option("--region", s.region, "What `weir job submit --region` chooses by");
  c->add_option("--price", s.price_usd_per_slot_h, "US dollars for a slot-hour");
  c->add_option("--power", s.power_w_per_slot, "Watts of a busy slot");
  c->add_option("--quota", s.quota_slots, "Most slots that the lab may hold there");
  c->add_option("--unknown-after", f->unknown_after, "Without an answer for so long it is unknown");
  c->add_option("--lost-after", f->lost_after,
                "Unknown for so long, its work is declared lost and starts elsewhere; 0s = never");
  c->add_option("--poll-every", f->poll_every, "Between two looks while nothing happens");
  c->add_option("--load-share", s.slurm.load_share,
                "Of the time that looks may take, such as 0.05");
  c->add_option("--start-within", f->start_within,
                "What Slurm holds back for longer goes elsewhere");
}

}  // namespace

void AddSiteCommands(CLI::App& app, int& exit_status) {
  CLI::App* site =
      AddGroup(app, "site", "Clusters that the lab spans: add, list, show, drain, remove");
  AddSiteAdd(*site, exit_status);
  AddLeaf(*site, "list", "Every site: whether it answers, what it has, what is held and costs",
          "  weir site list", exit_status, [](const ClientFlags& flags) -> Status {
            const Client client = TRY(Client::Open(flags));
            if (flags.json) {
              std::fputs(TRY(client.Get("/api/v1/sites")).c_str(), stdout);
              return {};
            }
            const auto view = TRY(client.GetAs<wire::LabView>("/api/v1/lab"));
            std::fputs(ShowSites(view, Style::For()).c_str(), stdout);
            return {};
          });
  auto which = std::make_shared<std::string>();
  auto why = std::make_shared<std::string>();
  AddLeaf(*site, "show", "One site and how it is reached", "  weir site show north", exit_status,
          [=](const ClientFlags& flags) -> Status {
            const Client client = TRY(Client::Open(flags));
            const std::string answer = TRY(client.Get("/api/v1/sites/" + Segment(*which)));
            if (flags.json) {
              std::fputs(answer.c_str(), stdout);
              return {};
            }
            const auto view = TRY(client.GetAs<wire::LabView>("/api/v1/lab"));
            std::fputs(
                ShowSite(TRY(wire::FromText<wire::SiteSpec>(answer)), view, Style::For()).c_str(),
                stdout);
            return {};
          })
      ->add_option("site", *which, "Its name")
      ->required();
  for (const bool drains : {true, false}) {
    CLI::App* c =
        AddLeaf(*site, drains ? "drain" : "undrain",
                drains ? "Start nothing new there; move away what can be saved" : "Use it again",
                drains ? "  weir site drain north --why 'the contract ends on Friday'"
                       : "  weir site undrain north",
                exit_status, [=](const ClientFlags& flags) -> Status {
                  return AskAndShow<wire::SiteSpec>(
                      flags, "POST", "/api/v1/sites/" + Segment(*which) + "/drain",
                      wire::ToText(wire::SiteDrain{drains, *why}), [](const wire::SiteSpec& s) {
                        return fmt::format("site {} {}\n", s.name,
                                           s.draining ? "drains" : "takes work again");
                      });
                });
    c->add_option("site", *which, "Its name")->required();
    if (drains) c->add_option("--why", *why, "Shown beside it");
  }
  AddLeaf(*site, "remove", "Remove a site that holds no work", "  weir site remove north",
          exit_status,
          [=](const ClientFlags& flags) -> Status {
            const Client client = TRY(Client::Open(flags));
            TRY(client.Ask("DELETE", "/api/v1/sites/" + Segment(*which)));
            if (!flags.json) fmt::print("site {} is removed\n", *which);
            return {};
          })
      ->add_option("site", *which, "Its name")
      ->required();
}

}  // namespace weir::app
