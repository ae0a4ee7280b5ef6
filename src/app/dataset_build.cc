#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "app/commands.h"
#include "base/units.h"
#include "lab/data/dataset.h"

namespace weir::app {

namespace {

struct BuildFlags {
  std::vector<std::string> text;
  std::string out;
  std::string max_bytes = "1GiB";
  bool json = false;
};

std::string Summary(const data::Report& r) {
  return fmt::format("{} of {} files taken, {} from {} read; {} lines of {} kept", r.files_taken,
                     r.files_seen, HumanBytes(r.bytes_taken), HumanBytes(r.bytes_read),
                     HumanCount(static_cast<double>(r.lines_taken)),
                     HumanCount(static_cast<double>(r.lines_seen)));
}

int Run(const BuildFlags& flags) {
  const std::optional<int64_t> max_bytes = ParseBytes(flags.max_bytes);
  if (!max_bytes || *max_bytes < 1) {
    fmt::print(stderr,
               "weir dataset build: --max-bytes: expected bytes such as 12MiB, got \"{}\"\n",
               flags.max_bytes);
    return 2;
  }
  data::BuildOptions options;
  options.paths = flags.text.empty() ? data::DebianDocPaths() : flags.text;
  options.out = flags.out;
  options.max_bytes = *max_bytes;
  const bool live = isatty(STDERR_FILENO);
  const Result<data::Manifest> manifest = data::Build(options, [live](const data::Report& r) {
    fmt::print(stderr, "{}{}{}", live ? "\r\x1b[K" : "", Summary(r), live ? "" : "\n");
    std::fflush(stderr);
  });
  if (live) fmt::print(stderr, "\r\x1b[K");
  if (!manifest) {
    fmt::print(stderr, "weir dataset build: {}\n", manifest.error().ToString());
    return InfoOf(manifest.error().code()).exit_status;
  }
  if (flags.json) {
    fmt::print("{}\n", wire::ToJson(*manifest).dump(2));
    return 0;
  }
  fmt::print("{}\nsha256  {}\n{}\n", flags.out, manifest->sha256, Summary(manifest->report));
  for (const auto& [reason, n] : manifest->report.files_dropped)
    fmt::print("  files dropped, {}: {}\n", reason, n);
  for (const auto& [reason, n] : manifest->report.lines_dropped)
    fmt::print("  lines dropped, {}: {}\n", reason, n);
  return 0;
}

}  // namespace

void AddDatasetBuildCommand(CLI::App& dataset, int& exit_status) {
  CLI::App* command =
      dataset.add_subcommand("build", "Make a dataset folder from text files and folders");
  auto flags = std::make_shared<BuildFlags>();
  command->add_option("--text", flags->text,
                      "Files and folders (default: this machine's documentation)");
  command->add_option("--out", flags->out, "Folder to make")->required();
  command->add_option("--max-bytes", flags->max_bytes, "Text taken at most")->capture_default_str();
  command->add_flag("--json", flags->json, "Print the manifest as JSON");
  command->footer(
      "Examples:\n"
      "  weir dataset build --out docs                       the documentation of this machine\n"
      "  weir dataset build --text ~/books notes.txt --out d --max-bytes 50MiB");
  command->callback([flags, &exit_status] { exit_status = Run(*flags); });
}

}  // namespace weir::app
