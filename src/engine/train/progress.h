// What a trainer tells the world, one JSON object a line, appended and flushed:
//   {"type":"progress","step":120,"steps":2000,"loss":4.31,"heldout_loss":4.40,"tokens":491520,
//    "tokens_per_s":9000.0,"mfu":0.41,"lr":0.0008,"eta_s":35.2}       heldout_loss: when measured
//   {"type":"checkpoint","step":200,"path":"/abs/step-000200","heldout_loss":4.1,"tokens":...,
//    "sha256":"<of its manifest.json>"}                                after it is durable
//   {"type":"note","text":"..."}
// The same, shorter, goes to people.
//
// Threads: one. Errors: a file that can't be opened is the caller's to refuse; a line that cannot
// be written (a full disk) is lost, training is not.
#pragma once

#include <cstdint>
#include <cstdio>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/result.h"

namespace weir::train {

struct ProgressLine {
  int64_t step = 0, steps = 0, tokens = 0;
  double loss = 0;
  std::optional<double> held_out_loss;
  double tokens_per_s = 0, mfu = 0, lr = 0, eta_s = 0;
};

class Progress {
 public:
  using Say = std::function<void(const std::string&)>;
  // file: empty for none.
  static Result<Progress> Open(const std::string& file, Say say);
  void Step(const ProgressLine& line);
  void Checkpoint(int64_t step, const std::string& path, std::optional<double> held_out_loss,
                  int64_t tokens, const std::string& sha256);
  void Note(const std::string& text);

 private:
  Progress(std::FILE* file, Say say) : file_(file, &std::fclose), say_(std::move(say)) {}
  void Write(const std::string& json);
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file_;
  Say say_;
};

}  // namespace weir::train
