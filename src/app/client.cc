#include "app/client.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "io/http_client.h"
#include "io/secret.h"
#include "wire/view.h"

namespace weir::app {

void AddConnectionFlags(CLI::App& command, ClientFlags& flags) {
  command.add_option("--url", flags.url, "Server to ask [WEIR_URL, else the data folder says]")
      ->group("Connection");
  command.add_option("--key-file", flags.key_file, "File with the key [WEIR_API_KEY holds a key]")
      ->group("Connection");
  command.add_option("--data", flags.data, "Data folder of the lab [WEIR_DATA]")
      ->group("Connection");
}

void AddClientFlags(CLI::App& command, ClientFlags& flags) {
  AddConnectionFlags(command, flags);
  command.add_flag("--json", flags.json, "Print the API's answer as it is");
}

Result<std::string> DataFolder(const ClientFlags& flags, const io::EnvLookup& env) {
  if (!flags.data.empty()) return flags.data;
  if (const auto data = env("WEIR_DATA"); data && !data->empty()) return *data;
  return io::DefaultDataDir(env);
}

Result<Client> Client::Open(const ClientFlags& flags, const io::EnvLookup& env) {
  Client client;
  const Result<std::string> data = DataFolder(flags, env);
  const auto trimmed = [](std::string text) {
    text.erase(text.find_last_not_of(" \r\n") + 1);
    return text;
  };
  if (!flags.url.empty()) {
    client.url_ = flags.url;
  } else if (const auto url = env("WEIR_URL"); url && !url->empty()) {
    client.url_ = *url;
  } else {
    const Result<std::string> endpoint =
        data ? io::ReadFile(*data + "/endpoint", 4096) : Result<std::string>(std::string());
    client.url_ = endpoint && !endpoint->empty() ? trimmed(*endpoint) : "http://127.0.0.1:7575";
  }
  while (client.url_.ends_with('/')) client.url_.pop_back();
  // The key of the data folder goes to the lab of that folder, or to this machine, and nowhere
  // else.
  const std::string host = TRY(io::ParseHttpUrl(client.url_))
  .host;
  const bool ours = (flags.url.empty() && !env("WEIR_URL")) || !flags.data.empty() ||
                    host == "localhost" || host == "::1" || host.starts_with("127.");
  if (!flags.key_file.empty()) {
    client.key_ = trimmed(TRY(io::ReadSecretFile(flags.key_file)));
  } else if (const auto key = env("WEIR_API_KEY"); key && !key->empty()) {
    client.key_ = *key;
  } else if (ours && data && io::FileExists(*data + "/admin.key")) {
    client.key_ = trimmed(TRY(io::ReadSecretFile(*data + "/admin.key")));
  }
  return client;
}

io::HttpFields Client::Headers() const {
  io::HttpFields headers;
  if (!key_.empty()) headers.push_back({"Authorization", "Bearer " + key_});
  return headers;
}

Result<std::string> Client::Ask(const std::string& method, const std::string& path,
                                const std::string& body) const {
  io::HttpFields headers = Headers();
  if (!body.empty()) headers.push_back({"Content-Type", "application/json"});
  io::HttpResult result = TRY(io::Fetch(
      {.method = method, .url = url_ + path, .headers = std::move(headers), .body = body}));
  if (result.status < 200 || result.status > 299)
    return ErrorFromAnswer(result.status, result.body);
  return std::move(result.body);
}

Status Client::Follow(const std::string& path,
                      const std::function<bool(std::string_view)>& on_bytes,
                      const std::function<bool()>& cancelled) const {
  // A refusal is short and comes as a body too; it is told from the stream by the status.
  std::string refusal;
  bool stopped = false;
  const Result<io::HttpResult> result = io::Fetch({.url = url_ + path,
                                                   .headers = Headers(),
                                                   .deadline = {},
                                                   .on_body =
                                                       [&](std::string_view bytes) {
                                                         if (refusal.size() < 65536)
                                                           refusal += bytes;
                                                         stopped = !on_bytes(bytes);
                                                         return !stopped;
                                                       },
                                                   .cancelled = cancelled});
  if (!result) {
    if (stopped || result.error().code() == Code::kCancelled) return {};
    return result.error();
  }
  if (result->status < 200 || result->status > 299) return ErrorFromAnswer(result->status, refusal);
  return {};
}

std::string Segment(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '_' || c == '.' || c == '@';
    out += plain ? std::string(1, c) : fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return out;
}

Error ErrorFromAnswer(int status, const std::string& body) {
  const wire::Json json = wire::Json::parse(body, nullptr, false);
  std::optional<Code> code = CodeFromHttpStatus(status);
  if (!json.is_object() || !json.contains("detail") || !json["detail"].is_string()) {
    return Error(code.value_or(Code::kInternal), fmt::format("the server answered {}", status))
        .Hint("is this a Weir server? see --url");
  }
  const auto text = [&](const char* name) {
    return json.contains(name) && json[name].is_string() ? json[name].get<std::string>()
                                                         : std::string();
  };
  for (int i = 0; i <= static_cast<int>(Code::kInternal); ++i) {
    if (InfoOf(static_cast<Code>(i)).name == text("code")) code = static_cast<Code>(i);
  }
  return Error(code.value_or(Code::kInternal), text("detail")).Hint(text("hint"));
}

int Report(const Status& status) {
  if (status) return 0;
  const Error& error = status.error();
  fmt::print(stderr, "weir: {}\n", error.message());
  if (!error.hint().empty()) fmt::print(stderr, "  {}\n", error.hint());
  return InfoOf(error.code()).exit_status;
}

bool SseReader::Feed(std::string_view bytes,
                     const std::function<bool(const std::string&, const std::string&)>& on_event) {
  buffer_ += bytes;
  for (size_t end = buffer_.find("\n\n"); end != buffer_.npos; end = buffer_.find("\n\n")) {
    std::string event, data;
    std::string_view rest = std::string_view(buffer_).substr(0, end);
    while (!rest.empty()) {
      const size_t stop = std::min(rest.find('\n'), rest.size());
      const std::string_view line = rest.substr(0, stop);
      rest.remove_prefix(std::min(stop + 1, rest.size()));
      if (line.starts_with("event: ")) event = line.substr(7);
      if (line.starts_with("data: "))
        data += (data.empty() ? "" : "\n") + std::string(line.substr(6));
    }
    buffer_.erase(0, end + 2);
    if (!data.empty() && !on_event(event, data)) return false;
  }
  return true;
}

}  // namespace weir::app
