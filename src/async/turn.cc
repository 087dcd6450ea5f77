// See turn.h.
#include "async/turn.h"

#include "async/buffered_stream.h"

namespace colony::async {

void Turn::post(std::function<void()> fn) {
  std::lock_guard lock(mutex_);
  posted_.push_back(std::move(fn));
}

bool Turn::has_posted() {
  std::lock_guard lock(mutex_);
  return !posted_.empty();
}

void Turn::run_posted() {
  {
    std::lock_guard lock(mutex_);
    running_.swap(posted_);
  }
  for (auto& fn : running_) {
    auto own = std::move(fn);
    own();
  }
  running_.clear();
}

void Turn::run_deferred() {
  while (!deferred.empty()) {
    running_.swap(deferred);  // what runs may put off more, which comes after the rest of these
    for (auto& fn : running_) fn();
    running_.clear();
  }
}

void Turn::flush() {
  while (BufferedStream* s = dirty.pop_front()) {
    if (s->may_gather())
      gathering.push_back(*s);
    else
      s->flush();
  }
}

void Turn::flush_gathered(bool quiet) {
  if (!gathering.empty() && !quiet && ++gathered_turns_ <= kGatherTurns) return;
  gathered_turns_ = 0;
  while (BufferedStream* s = gathering.pop_front()) s->flush();
}

void Turn::abandon_all() {
  deferred.clear();
  while (Source* s = all.pop_front()) s->abandon();
  std::vector<std::function<void()>> last;
  {
    std::lock_guard lock(mutex_);
    last.swap(posted_);
  }
}

}  // namespace colony::async
