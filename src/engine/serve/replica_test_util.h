// A replica on a loopback port and what tests ask it.
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "engine/serve/replica.h"
#include "engine/serve/serve_test_util.h"
#include "io/http_client.h"

namespace weir::serve {

inline io::RealClock clock_for_tests;

struct Server {
  std::unique_ptr<Replica> replica;
  uint16_t port = 0;

  explicit Server(std::shared_ptr<const model::Model> model, ReplicaOptions options = {}) {
    options.name = "m";
    options.engine.threads = 1;
    Result<std::unique_ptr<Replica>> made =
        Replica::Create(std::move(model), options, clock_for_tests);
    EXPECT_TRUE(made) << made.error().ToString();
    replica = *std::move(made);
    port = *replica->Start();
  }
  io::HttpResult Call(const std::string& method, const std::string& path,
                      const std::string& body = "", io::HttpFields headers = {}) const {
    Result<io::HttpResult> result =
        io::Fetch({.method = method,
                   .url = fmt::format("http://127.0.0.1:{}{}", port, path),
                   .headers = std::move(headers),
                   .body = body});
    EXPECT_TRUE(result) << result.error().ToString();
    return result ? *std::move(result) : io::HttpResult{};
  }
  io::HttpResult Post(const std::string& path, const nlohmann::json& body) const {
    return Call("POST", path, body.dump());
  }
  // The body of an answer that is expected to be 200.
  nlohmann::json Ask(const std::string& path, const nlohmann::json& body) const {
    const io::HttpResult result = Post(path, body);
    EXPECT_EQ(result.status, 200) << body.dump() << "\n" << result.body;
    return nlohmann::json::parse(result.body, nullptr, false);
  }
};

// The data of a stream that ends with [DONE].
inline std::vector<nlohmann::json> Events(const std::string& body) {
  std::vector<nlohmann::json> events;
  std::istringstream lines(body);
  bool done = false;
  for (std::string line; std::getline(lines, line);) {
    if (line.empty()) continue;
    EXPECT_TRUE(line.starts_with("data: ")) << line;
    EXPECT_FALSE(done) << "something after [DONE]";
    done = line == "data: [DONE]";
    if (!done) events.push_back(nlohmann::json::parse(line.substr(6)));
  }
  EXPECT_TRUE(done);
  return events;
}

}  // namespace weir::serve
