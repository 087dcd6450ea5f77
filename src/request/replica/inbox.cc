// A slot is freed when the work has really ended, not when its client was answered: the bound is on what computes.
#include "request/replica/inbox.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "base/check.h"

namespace colony::replica {
namespace {

Error too_late() {
  return deadline_exceeded("the request's deadline passed before the model had answered", "deadline");
}

}  // namespace

Inbox::Inbox(async::Loop& loop, async::BlockingPool& pool)
    : loop_(loop), pool_(pool), offer_(loop, [this] { offer_room(); }), scope_(loop), idle_(loop) {}

Inbox::~Inbox() { CHECK(running_.empty() && waiting_.empty()); }

void Inbox::submit(std::shared_ptr<Job> job, Cost cost) {
  job->submitted_ = loop_.now();
  if (job->deadline.passed(loop_.now())) {
    ++stats_.expired;
    job->stage_ = Job::Stage::kOver;
    const Error e = too_late();
    return job->finish(&e);
  }
  if (cost == Cost::kCheap) {
    ++stats_.begun;
    job->stage_ = Job::Stage::kOver;
    job->run();
    return job->finish(nullptr);
  }
  if (!job->cancel) job->cancel = std::make_shared<runtime::CancelFlag>();
  if (running_.size() < max_ongoing_) return start(std::move(job));
  if (!has_room()) {
    ++stats_.refused;
    job->stage_ = Job::Stage::kOver;
    Error e = unavailable(fmt::format("this replica runs {} requests (max_ongoing_requests) and {} wait",
                                      running_.size(), waiting_.size()),
                          "replica_full");
    e.retry = Retry::kYes;
    return job->finish(&e);
  }
  job->stage_ = Job::Stage::kWaiting;
  if (!job->deadline.is_never()) {
    job->timer_.emplace(loop_, [this, raw = job.get()] { expire(*raw); });
    job->timer_->arm(job->deadline.time());
  }
  waiting_.push_back(std::move(job));
}

void Inbox::start(std::shared_ptr<Job> job) {
  ++stats_.begun;
  job->stage_ = Job::Stage::kRunning;
  if (!job->deadline.is_never() && !job->timer_) {
    job->timer_.emplace(loop_, [this, raw = job.get()] { expire(*raw); });
    job->timer_->arm(job->deadline.time());
  }
  job->waited_ns = static_cast<uint64_t>(std::max<int64_t>((loop_.now() - job->submitted_).count(), 0));
  running_.insert(job);
  // A pool thread has no loop whose clock it could ask: this is a stop-watch for statistics, nothing waits for it.
  const auto handed_over = std::chrono::steady_clock::now();
  const bool taken = pool_.submit([this, job, handed_over] {
    job->waited_ns += static_cast<uint64_t>((std::chrono::steady_clock::now() - handed_over).count());
    job->run();
    loop_.post([this, job] { ran(job); });
  });
  if (taken) return;
  running_.erase(job);
  job->stage_ = Job::Stage::kOver;
  job->timer_.reset();
  room_came();
  ++stats_.refused;
  Error e = unavailable("the replica's threads have too much queued", "replica_full");
  e.retry = Retry::kYes;
  job->finish(&e);
}

void Inbox::ran(const std::shared_ptr<Job>& job) {
  running_.erase(job);
  job->timer_.reset();
  if (job->stage_ == Job::Stage::kRunning) {
    job->stage_ = Job::Stage::kOver;
    job->finish(nullptr);
  } else if (on_late) {
    on_late();
  }
  take_next();
  room_came();
  if (running_.empty() && waiting_.empty()) idle_.notify();
}

void Inbox::take_next() {
  while (!waiting_.empty() && running_.size() < max_ongoing_) {
    auto job = std::move(waiting_.front());
    waiting_.pop_front();
    start(std::move(job));
  }
}

// WHY not at once: places are given back while connections close and from within calls that are not through yet.
void Inbox::room_came() {
  if (!room_waiters_.empty()) offer_.arm(loop_.now());
}

void Inbox::offer_room() {
  while (!room_waiters_.empty() && has_room()) {
    auto* const waiter = room_waiters_.front();
    room_waiters_.pop_front();
    waiter->on_room();
  }
}

// Called by the job's own timer, so the job must outlive this call: what drops the last reference is posted.
void Inbox::expire(Job& job) {
  if (job.stage_ == Job::Stage::kOver) {  // nobody waits for it any more, but it runs still
    if (on_late) on_late();
    return;
  }
  ++stats_.expired;
  const bool waited = job.stage_ == Job::Stage::kWaiting;
  job.stage_ = Job::Stage::kOver;
  if (waited) {
    const auto it = std::ranges::find(waiting_, &job, &std::shared_ptr<Job>::get);
    CHECK(it != waiting_.end());
    loop_.post([kept = std::move(*it)] {});
    waiting_.erase(it);
    room_came();
  } else {
    job.cancel->cancel();
  }
  const Error e = too_late();
  job.finish(&e);
  if (!waited && on_late) on_late();
}

void Inbox::abandon(const std::shared_ptr<Job>& job) {
  if (job->stage_ == Job::Stage::kOver || job->stage_ == Job::Stage::kNew) return;
  ++stats_.abandoned;
  job->cancel->cancel();
  if (job->stage_ == Job::Stage::kWaiting) {
    job->timer_.reset();
    std::erase(waiting_, job);
    room_came();
    if (running_.empty() && waiting_.empty()) idle_.notify();
  }
  job->stage_ = Job::Stage::kOver;
}

Duration Inbox::overdue() const {
  const auto since = late_since();
  return since ? loop_.now() - *since : Duration::zero();
}

std::optional<TimePoint> Inbox::late_since() const {
  std::optional<TimePoint> soonest;
  for (const auto& job : running_)
    if (job->deadline.passed(loop_.now())) soonest = std::min(soonest.value_or(TimePoint::max()), job->deadline.time());
  return soonest;
}

void Inbox::close() {
  auto waiting = std::exchange(waiting_, {});
  const Error e = unavailable("the replica is ending", "replica_ending");
  for (const auto& job : waiting) {
    job->timer_.reset();
    job->stage_ = Job::Stage::kOver;
    ++stats_.refused;
    job->finish(&e);
  }
  for (const auto& job : running_) job->cancel->cancel();
  room_came();
}

async::Task<void> Inbox::join() {
  while (!running_.empty() || !waiting_.empty()) co_await idle_.wait(scope_);
}

}  // namespace colony::replica
