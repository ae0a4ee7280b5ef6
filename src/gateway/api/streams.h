// Answers that stay open: live lab, followed journal, followed logs.
//
// One thread serves them all: it wakes when the view changes (at most 4 times a second) or every
// 250 ms, asks every stream what is new and writes that. The view is made into JSON once however
// many watch. A client that does not take its bytes is passed over until it has; for the live lab
// it then gets the newest state, not the ones between.
#pragma once

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "control/lab.h"
#include "gateway/api/job_log.h"
#include "io/clock.h"
#include "io/http_server.h"

namespace weir::gateway {

// What a stream may look at while it is asked: one instant, the same for all.
class Moment {
 public:
  Moment(const control::Lab& lab, std::shared_ptr<const wire::LabView> view)
      : lab_(lab), view_(std::move(view)) {}
  const control::Lab& lab() const { return lab_; }
  const wire::LabView& view() const { return *view_; }
  const std::string& LabEvent();  // the view as a server-sent event

 private:
  const control::Lab& lab_;
  const std::shared_ptr<const wire::LabView> view_;
  std::string event_;
};

class Stream {
 public:
  virtual ~Stream() = default;
  virtual bool is_sse() const { return true; }
  // Appends what is new to `out`. False: nothing will ever follow.
  virtual bool Advance(Moment& moment, std::string& out) = 0;
};

std::shared_ptr<Stream> FollowLab();
std::shared_ptr<Stream> FollowJournal(int64_t from_seq, std::string subject);
// Ends once the job has ended and everything is read.
std::shared_ptr<Stream> FollowLog(JobLog log, std::string job_id, bool has_ended);

struct StreamOptions {
  Duration interval = Duration::Millis(250);
  Duration heartbeat = Duration::Seconds(15);  // a comment, so that proxies keep the line open
  size_t max_streams = 1024;
};

class Streams {
 public:
  Streams(control::Lab& lab, const io::Clock& clock, StreamOptions options);
  ~Streams();
  // Answers `x` with the stream, from its first bytes on. 503 when there are too many, or stopping.
  void Add(io::HttpExchangePtr x, std::shared_ptr<Stream> stream);
  void Stop();  // ends every stream; later ones are refused
  size_t size() const;

 private:
  struct Open {
    io::HttpExchangePtr exchange;
    std::shared_ptr<Stream> stream;
    Duration last_bytes = {};  // Monotonic
  };
  void Run();

  control::Lab& lab_;
  const io::Clock& clock_;
  const StreamOptions options_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  bool stopping_ = false;        // guarded by mutex_
  std::vector<Open> arriving_;   // guarded by mutex_; taken over by the thread
  std::atomic<size_t> open_{0};  // those arriving and those served
  std::thread thread_;
};

}  // namespace weir::gateway
