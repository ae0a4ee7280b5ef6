// A few threads for requests that may block for the length of one durable change, and a bounded
// queue before them.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace weir::gateway {

class Workers {
 public:
  Workers(int threads, size_t max_waiting);
  ~Workers();  // Stop()
  // False when the queue is full or the workers have stopped: the task was not taken.
  bool Submit(std::function<void()> task);
  void Stop();  // finishes what was taken, then joins

 private:
  void Run();
  const size_t max_waiting_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> tasks_;  // guarded by mutex_
  bool stopping_ = false;                    // guarded by mutex_
  std::vector<std::thread> threads_;
};

}  // namespace weir::gateway
