#include "gateway/api/streams.h"

#include <algorithm>
#include <chrono>

#include "base/logging.h"
#include "gateway/api/find.h"
#include "gateway/api/route.h"

namespace weir::gateway {

namespace {

std::string Dump(const wire::Json& json) {
  return json.dump(-1, ' ', false, wire::Json::error_handler_t::replace);
}

class LabStream final : public Stream {
 public:
  bool Advance(Moment& moment, std::string& out) override {
    // Traffic moves without a journal record, so the instant of the view tells, not its seq.
    if (moment.view().now == sent_ && moment.view().journal_seq == seq_) return true;
    sent_ = moment.view().now;
    seq_ = moment.view().journal_seq;
    out += moment.LabEvent();
    return true;
  }

 private:
  Time sent_;
  int64_t seq_ = -1;
};

class JournalStream final : public Stream {
 public:
  JournalStream(int64_t from, std::string subject) : next_(from), subject_(std::move(subject)) {}
  bool Advance(Moment& moment, std::string& out) override {
    constexpr int64_t kPage = 200;  // a turn; a client that reads on from far back takes more turns
    if (next_ > moment.view().journal_seq) return true;
    const Result<wire::JournalPage> page = moment.lab().Journal(next_, kPage);
    if (!page) {
      out += io::SseEvent(Dump(page.error().ToString()), "error");
      return false;
    }
    for (const wire::JournalRecord& record : page->records) {
      next_ = record.seq + 1;
      if (!subject_.empty() &&
          std::ranges::find(record.subjects, subject_) == record.subjects.end())
        continue;
      wire::Json json = wire::ToJson(record);
      HideEnv(json);
      out += io::SseEvent(Dump(json), "record", std::to_string(record.seq));
    }
    return true;
  }

 private:
  int64_t next_;
  const std::string subject_;
};

class LogStream final : public Stream {
 public:
  LogStream(JobLog log, std::string job, bool has_ended)
      : log_(std::move(log)), job_(std::move(job)), has_ended_(has_ended) {}
  bool is_sse() const override { return false; }
  bool Advance(Moment& moment, std::string& out) override {
    constexpr int64_t kTurnBytes = 256 << 10;
    // Looked at before reading: what an ended job wrote is then there to be read.
    if (!has_ended_) {
      const auto job = FindJob(moment.view(), job_);
      has_ended_ = !job || HasEnded((*job)->phase);
    }
    const Result<std::string> more = log_.Read(kTurnBytes);
    if (!more) {
      log::warn("a followed log ended early: {}", more.error().ToString());
      return false;
    }
    out += *more;
    return !(has_ended_ && more->empty());
  }

 private:
  JobLog log_;
  const std::string job_;
  bool has_ended_;
};

}  // namespace

const std::string& Moment::LabEvent() {
  if (event_.empty()) {
    wire::Json json = wire::ToJson(*view_);
    HideEnv(json);
    event_ = io::SseEvent(Dump(json), "lab", std::to_string(view_->journal_seq));
  }
  return event_;
}

std::shared_ptr<Stream> FollowLab() { return std::make_shared<LabStream>(); }
std::shared_ptr<Stream> FollowJournal(int64_t from_seq, std::string subject) {
  return std::make_shared<JournalStream>(from_seq, std::move(subject));
}
std::shared_ptr<Stream> FollowLog(JobLog log, std::string job_id, bool has_ended) {
  return std::make_shared<LogStream>(std::move(log), std::move(job_id), has_ended);
}

Streams::Streams(control::Lab& lab, const io::Clock& clock, StreamOptions options)
    : lab_(lab), clock_(clock), options_(options), thread_([this] { Run(); }) {}

Streams::~Streams() { Stop(); }

size_t Streams::size() const { return open_; }

void Streams::Stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void Streams::Add(io::HttpExchangePtr x, std::shared_ptr<Stream> stream) {
  if (open_.fetch_add(1) >= options_.max_streams) {
    open_.fetch_sub(1);
    return x->AnswerError(
        Error(Code::kUnavailable, fmt::format("{} streams are open", options_.max_streams))
            .Hint("close one, or ask again later")
            .RetryAfter(5));
  }
  x->Begin(200,
           {{"Content-Type", stream->is_sse() ? "text/event-stream" : "text/plain; charset=utf-8"},
            {"Cache-Control", "no-store"},
            {"X-Content-Type-Options", "nosniff"}});
  const std::lock_guard lock(mutex_);
  if (stopping_) {
    open_.fetch_sub(1);
    return x->End();
  }
  arriving_.push_back({std::move(x), std::move(stream), clock_.Monotonic()});
  wake_.notify_all();
}

void Streams::Run() {
  std::vector<Open> all;
  int64_t seen = -1;
  const auto something_to_do = [&] { return stopping_ || !arriving_.empty(); };
  while (true) {
    {
      std::unique_lock lock(mutex_);
      if (all.empty()) wake_.wait(lock, something_to_do);
      for (Open& open : arriving_) all.push_back(std::move(open));
      arriving_.clear();
      if (stopping_) break;
    }
    const Duration began = clock_.Monotonic();
    // The number is read before the view: the view may be newer, and is then only sent once more.
    seen = lab_.view_number();
    Moment moment(lab_, lab_.View());
    std::erase_if(all, [&](Open& open) {
      bool goes_on = !open.exchange->closed();
      if (goes_on && !open.exchange->over_high_water()) {
        std::string out;
        goes_on = open.stream->Advance(moment, out);
        if (out.empty() && open.stream->is_sse() && began - open.last_bytes >= options_.heartbeat)
          out = ": still here\n\n";
        if (!out.empty()) {
          open.last_bytes = began;
          open.exchange->Write(out);
        }
        if (!goes_on) open.exchange->End();
      }
      if (!goes_on) open_.fetch_sub(1);
      return !goes_on;
    });
    // At once for whoever arrives; otherwise not before the interval is over, and then when
    // something has changed. Logs grow without the view: they are looked at every interval.
    const Duration took = clock_.Monotonic() - began;
    if (took < options_.interval) {
      std::unique_lock lock(mutex_);
      wake_.wait_for(lock, std::chrono::microseconds((options_.interval - took).us),
                     something_to_do);
      if (something_to_do()) continue;
    }
    const bool only_views =
        std::ranges::all_of(all, [](const Open& o) { return o.stream->is_sse(); });
    if (!all.empty() && only_views) (void)lab_.WaitForChange(seen, options_.interval);
  }
  for (Open& open : all) open.exchange->End();
  open_ = 0;
}

}  // namespace weir::gateway
