// What EpollLoop and SimLoop share: the order of work inside one turn, and the streams' side of it. A loop fills
// `current` with sources that have something to do, then calls the steps in the order that async/loop.h promises.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "async/buffer.h"
#include "async/intrusive_list.h"
#include "async/timer_wheel.h"

namespace colony::async {

class BufferedStream;
struct ReadyTag;
struct DirtyTag;
struct AllTag;

// Something that a loop calls when it is ready. It may be destroyed at any time: it leaves the lists by itself.
class Source : public Hook<ReadyTag>, public Hook<AllTag> {
 public:
  Source() = default;
  Source(const Source&) = delete;
  Source& operator=(const Source&) = delete;
  virtual void service() = 0;
  virtual void abandon() = 0;  // the loop is dying: let go of it, and of every descriptor; `this` may be deleted

 protected:
  virtual ~Source() = default;
};

class Turn {
 public:
  static constexpr size_t kReadMax = 256 * 1024;     // one read of one stream in one turn
  static constexpr size_t kFrontMax = 32 * 1024;     // kept bytes up to this are copied before what is read
  static constexpr int kGatherTurns = 4;             // LIMIT: turns in which a gathering stream is not flushed
  static constexpr size_t kGatherBytes = 32 * 1024;  // LIMIT: bytes that it holds back

  explicit Turn(TimePoint now) : wheel(now), scratch(new char[kFrontMax + kReadMax]) {}

  // Steps, in their order.
  void begin() {  // sources put off by the last turn become current
    ++number;
    current.take(next);
  }
  void serve() {  // until no source is current
    while (Source* s = current.pop_front()) s->service();
  }
  void run_posted();
  void run_deferred();
  void flush();                     // one write per stream that was written to, those that gather apart
  void flush_gathered(bool quiet);  // once per turn, last. quiet: the turn had no event
  // A further turn must follow without waiting (posted work aside).
  bool has_work() const {
    return !current.empty() || !next.empty() || !dirty.empty() || !gathering.empty() || !deferred.empty();
  }

  void post(std::function<void()> fn);  // any thread
  bool has_posted();
  void put_off(Source& s) { next.push_back(s); }
  void wake(Source& s) { current.push_back(s); }
  void abandon_all();

  TimerWheel wheel;
  SlabPool slabs;
  std::unique_ptr<char[]> scratch;
  uint64_t number = 0;
  IntrusiveList<Source, ReadyTag> current, next;
  IntrusiveList<BufferedStream, DirtyTag> dirty, gathering;
  IntrusiveList<Source, AllTag> all;
  std::vector<std::function<void()>> deferred;

 private:
  int gathered_turns_ = 0;
  std::mutex mutex_;
  std::vector<std::function<void()>> posted_;  // guarded by mutex_
  std::vector<std::function<void()>> running_;
};

}  // namespace colony::async
