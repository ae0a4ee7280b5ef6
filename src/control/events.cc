#include "control/events.h"

#include <fmt/format.h>

#include <functional>

namespace weir::control {
namespace {

using wire::Json;

// The reader of each type. JobMoved stands under each of its names.
using Reader = Result<EventBody> (*)(const Json&);

template <class T>
Result<EventBody> ReadBody(const Json& json) {
  return EventBody(TRY(wire::FromJson<T>(json, "body")));
}

template <class... Ts>
std::map<std::string, Reader, std::less<>> ReadersOf(const std::variant<Ts...>*) {
  std::map<std::string, Reader, std::less<>> readers;
  (readers.emplace(Ts::kType, &ReadBody<Ts>), ...);
  readers.erase(JobMoved::kType);
  for (const auto& [phase, name] : wire::EnumNames<wire::JobPhase>::kNames)
    readers.emplace(std::string("job.") + name, &ReadBody<JobMoved>);
  return readers;
}

const std::map<std::string, Reader, std::less<>>& Readers() {
  static const auto readers = ReadersOf(static_cast<const EventBody*>(nullptr));
  return readers;
}

struct Envelope {
  std::vector<std::string> subjects;
  std::string text;
  std::map<std::string, double> numbers;
  Json body = Json::object();
};

template <class V>
void Fields(V& v, Owned<V, Envelope>& e) {
  v("subjects", e.subjects);
  v("text", e.text);
  v("numbers", e.numbers);
  v("body", e.body, "", kRequired);
}

}  // namespace
}  // namespace weir::control

WEIR_LOCAL_MESSAGE(weir::control::Envelope);

namespace weir::control {

std::string TypeOf(const EventBody& body) {
  if (const auto* moved = std::get_if<JobMoved>(&body))
    return "job." + std::string(wire::NameOf(moved->phase));
  return std::visit([](const auto& b) -> std::string { return b.kType; }, body);
}

io::Entry ToEntry(const Event& event) {
  const Envelope envelope{
      event.subjects, event.text, event.numbers,
      std::visit([](const auto& body) { return wire::ToJson(body); }, event.body)};
  return {event.at, event.actor, TypeOf(event.body), wire::ToText(envelope)};
}

Result<Event> FromRecord(const io::Record& record) {
  const std::string where = fmt::format("journal record {} ({})", record.seq, record.type);
  const auto reader = Readers().find(record.type);
  if (reader == Readers().end()) {
    return Error(Code::kUnimplemented, where + ": not an event that this version knows")
        .Hint("the journal was written by a newer weir: use that one");
  }
  Result<Envelope> envelope = wire::FromText<Envelope>(record.body);
  if (!envelope)
    return Error(Code::kDataLoss, where + ": " + envelope.error().message())
        .Hint("see `weir journal verify`");
  Result<EventBody> body = reader->second(envelope->body);
  if (!body)
    return Error(Code::kDataLoss, where + ": " + body.error().message())
        .Hint("see `weir journal verify`");
  return Event{record.time,
               record.actor,
               std::move(envelope->subjects),
               std::move(envelope->text),
               std::move(envelope->numbers),
               *std::move(body)};
}

Result<wire::JournalRecord> ToWire(const io::Record& record) {
  const Envelope envelope = TRY(wire::FromText<Envelope>(record.body));
  wire::JournalRecord out;
  out.seq = record.seq;
  out.at = record.time;
  out.actor = record.actor;
  out.type = record.type;
  out.subjects = envelope.subjects;
  out.text = envelope.text;
  out.numbers = envelope.numbers;
  out.body = envelope.body;
  return out;
}

}  // namespace weir::control
