#include "engine/train/progress.h"

#include <fmt/format.h>

#include <cerrno>
#include <nlohmann/json.hpp>

#include "base/units.h"
#include "io/files.h"

namespace weir::train {

Result<Progress> Progress::Open(const std::string& file, Say say) {
  std::FILE* f = nullptr;
  if (!file.empty()) {
    f = std::fopen(file.c_str(), "ae");
    if (f == nullptr) return io::ErrnoError(errno, "cannot open the progress file", file);
  }
  return Progress(f, std::move(say));
}

void Progress::Write(const std::string& json) {
  if (file_ == nullptr) return;
  std::fputs((json + "\n").c_str(), file_.get());
  std::fflush(file_.get());
}

void Progress::Step(const ProgressLine& p) {
  const std::string held_out =
      p.held_out_loss ? fmt::format(",\"heldout_loss\":{:.5f}", *p.held_out_loss) : std::string();
  Write(fmt::format(
      "{{\"type\":\"progress\",\"step\":{},\"steps\":{},\"loss\":{:.5f}{},\"tokens\":{},"
      "\"tokens_per_s\":{:.1f},\"mfu\":{:.4f},\"lr\":{:.6g},\"eta_s\":{:.1f}}}",
      p.step, p.steps, p.loss, held_out, p.tokens, p.tokens_per_s, p.mfu, p.lr, p.eta_s));
  say_(fmt::format("step {}/{}  loss {:.3f}{}  {} tokens/s  MFU {:.0f}%  left {}", p.step, p.steps,
                   p.loss,
                   p.held_out_loss ? fmt::format("  held-out {:.3f}", *p.held_out_loss) : "",
                   HumanCount(p.tokens_per_s), 100 * p.mfu, Human(Duration::FromSeconds(p.eta_s))));
}

void Progress::Checkpoint(int64_t step, const std::string& path,
                          std::optional<double> held_out_loss, int64_t tokens,
                          const std::string& sha256) {
  nlohmann::json j = {{"type", "checkpoint"},
                      {"step", step},
                      {"path", path},
                      {"tokens", tokens},
                      {"sha256", sha256}};
  if (held_out_loss) j["heldout_loss"] = *held_out_loss;
  Write(j.dump());
  say_(fmt::format("checkpoint {}", path));
}

void Progress::Note(const std::string& text) {
  const nlohmann::json j = {{"type", "note"}, {"text", text}};
  Write(j.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  say_(text);
}

}  // namespace weir::train
