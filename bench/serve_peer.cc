#include "serve_peer.h"

#include <fmt/format.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <nlohmann/json.hpp>
#include <thread>

#include "io/files.h"

namespace weir::bench {
namespace {

using Clock = std::chrono::steady_clock;

class Ours : public Runner {
 public:
  Ours(serve::Engine& engine, serve::GenerateRequest ask) : engine_(engine), ask_(std::move(ask)) {}

  Result<std::vector<Timing>> Run(const std::vector<BenchRequest>& requests) override {
    std::vector<Timing> timings(requests.size());
    std::mutex mutex;
    std::condition_variable finished;
    size_t left = requests.size();
    const Clock::time_point began = Clock::now();
    const auto since = [began] {
      return std::chrono::duration<double, std::milli>(Clock::now() - began).count();
    };
    for (size_t i = 0; i < requests.size(); ++i) {
      std::this_thread::sleep_until(began +
                                    std::chrono::duration<double, std::milli>(requests[i].at_ms));
      serve::GenerateRequest ask = ask_;
      ask.prompt = requests[i].prompt;
      ask.max_tokens = requests[i].max_tokens;
      ask.sampling.temperature = 0;
      ask.ignore_eos = true;
      const Result<uint64_t> id = engine_.Submit(std::move(ask), [&, i](const serve::Event& event) {
        timings[i].token_ms.resize(static_cast<size_t>(event.completion_tokens), since());
        if (!event.last) return;
        const std::lock_guard lock(mutex);
        --left;
        finished.notify_all();
      });
      if (!id) {
        const std::lock_guard lock(mutex);
        --left;
        if (id.error().code() != Code::kResourceExhausted) {
          fmt::print(stderr, "{}\n", id.error().ToString());
        }
      }
    }
    std::unique_lock lock(mutex);
    finished.wait(lock, [&] { return left == 0; });
    return timings;
  }

 private:
  serve::Engine& engine_;
  serve::GenerateRequest ask_;
};

class Peer : public Runner {
 public:
  Peer(pid_t pid, FILE* to, FILE* from) : pid_(pid), to_(to), from_(from) {}
  ~Peer() override {
    std::fclose(to_);  // it leaves when its input ends
    std::fclose(from_);
    int status = 0;
    waitpid(pid_, &status, 0);
  }

  Result<nlohmann::json> Ask(const nlohmann::json& message) {
    const std::string line = message.dump() + "\n";
    if (std::fputs(line.c_str(), to_) < 0 || std::fflush(to_) != 0) {
      return Error(Code::kUnavailable, "the peer has left");
    }
    std::string answer;
    for (int c = std::fgetc(from_); c != '\n'; c = std::fgetc(from_)) {
      if (c == EOF) return Error(Code::kUnavailable, "the peer has left: " + answer);
      answer += static_cast<char>(c);
    }
    nlohmann::json json = nlohmann::json::parse(answer, nullptr, false);
    if (!json.is_object() || json.contains("error")) {
      return Error(Code::kUnavailable, "the peer says: " + answer.substr(0, 1000));
    }
    return json;
  }

  Result<std::vector<Timing>> Run(const std::vector<BenchRequest>& requests) override {
    nlohmann::json list = nlohmann::json::array();
    for (const BenchRequest& r : requests) {
      list.push_back({{"at_ms", r.at_ms}, {"prompt", r.prompt}, {"max_tokens", r.max_tokens}});
    }
    const nlohmann::json answer = TRY(Ask({{"op", "run"}, {"requests", list}}));
    std::vector<Timing> timings;
    for (const nlohmann::json& t : answer["requests"]) {
      timings.push_back({t["token_ms"].get<std::vector<double>>()});
    }
    return timings;
  }

 private:
  pid_t pid_;
  FILE *to_, *from_;
};

}  // namespace

std::unique_ptr<Runner> OurRunner(serve::Engine& engine, serve::GenerateRequest ask) {
  return std::make_unique<Ours>(engine, std::move(ask));
}

Result<std::unique_ptr<Runner>> PeerRunner(const PeerOptions& options) {
  if (!io::FileExists(options.folder + "/node_modules/node-llama-cpp")) {
    return Error(Code::kUnavailable, "llama.cpp is not installed in " + options.folder)
        .Hint("cd bench/llama_cpp && npm install --omit=optional --ignore-scripts");
  }
  signal(SIGPIPE, SIG_IGN);
  int in[2], out[2];
  if (pipe(in) != 0 || pipe(out) != 0) return Error(Code::kUnavailable, "no pipe");
  const pid_t pid = fork();
  if (pid == 0) {
    dup2(in[0], 0);
    dup2(out[1], 1);
    for (const int fd : {in[0], in[1], out[0], out[1]}) close(fd);
    if (chdir(options.folder.c_str()) != 0) _exit(127);
    execlp("node", "node", "peer.mjs", nullptr);
    _exit(127);
  }
  close(in[0]);
  close(out[1]);
  if (pid < 0) return Error(Code::kUnavailable, "no process");
  auto peer = std::make_unique<Peer>(pid, fdopen(in[1], "w"), fdopen(out[0], "r"));
  TRY(peer->Ask({{"op", "load"},
                 {"model", options.model},
                 {"threads", options.threads},
                 {"sequences", options.sequences},
                 {"context", options.context}}));
  return std::unique_ptr<Runner>(std::move(peer));
}

}  // namespace weir::bench
