// How a command reaches the lab: which server, with which key, and what comes back.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/units.h"
#include "io/files.h"
#include "io/http_message.h"
#include "wire/schema.h"

namespace CLI {
class App;
}

namespace weir::app {

// --url, --key-file, --data, --json: every command that talks to the lab has them.
struct ClientFlags {
  std::string url;  // else WEIR_URL, else DATA/endpoint, else http://127.0.0.1:7575
  std::string
      key_file;      // else WEIR_API_KEY, else DATA/admin.key where `url` is not another machine's
  std::string data;  // else WEIR_DATA, else the XDG data folder
  bool json = false;
};
void AddClientFlags(CLI::App& command, ClientFlags& flags);
void AddConnectionFlags(CLI::App& command, ClientFlags& flags);  // the same without --json

// Where the data folder is, by flag, environment or default.
Result<std::string> DataFolder(const ClientFlags& flags, const io::EnvLookup& env);

class Client {
 public:
  static Result<Client> Open(const ClientFlags& flags, const io::EnvLookup& env = io::ProcessEnv());
  Result<std::string> Get(const std::string& path) const { return Ask("GET", path); }
  // The body of a 2xx answer; a problem document becomes the Error that it was at the server.
  Result<std::string> Ask(const std::string& method, const std::string& path,
                          const std::string& body = {}) const;
  template <class T>
  Result<T> GetAs(const std::string& path) const {
    return wire::FromText<T>(TRY(Get(path)));
  }
  template <class T>
  Result<std::vector<T>> ListOf(const std::string& path) const {
    const wire::Json json = TRY(wire::ParseJson(TRY(Get(path))));
    return wire::FromJson<std::vector<T>>(json.value("items", wire::Json::array()), "items");
  }
  // Bytes as they come, until the server ends them, on_bytes returns false or cancelled() is true.
  Status Follow(const std::string& path, const std::function<bool(std::string_view)>& on_bytes,
                const std::function<bool()>& cancelled = {}) const;
  const std::string& url() const { return url_; }
  const std::string& key() const { return key_; }  // empty: none

 private:
  io::HttpFields Headers() const;
  std::string url_;
  std::string key_;
};

// One part of a path, percent-encoded: "local/n1/0" -> "local%2Fn1%2F0".
std::string Segment(std::string_view text);
// The error of a problem document, or of a status without one.
Error ErrorFromAnswer(int status, const std::string& body);
// Prints the error as "weir: sentence" and its hint below it, to stderr; the exit status.
int Report(const Status& status);

// Splits "data:" lines out of a stream of server-sent events, as they come in pieces.
class SseReader {
 public:
  // Calls on_event(event, data) for each whole event in what has come; false stops.
  bool Feed(std::string_view bytes,
            const std::function<bool(const std::string&, const std::string&)>& on_event);

 private:
  std::string buffer_;
};

}  // namespace weir::app
