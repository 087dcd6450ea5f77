// A waiting request starts in pump(), which runs when a link becomes ready, a table brings replicas or a slot may be free,
// or on the slot that another has just given back. First come, first served, but for one that has lost a replica: where only
// that replica has room, those behind it go first.
#include "request/proxy/admit/deployment_queue.h"

#include <algorithm>

#include "base/log.h"
#include "policy/balance.h"

namespace colony::proxy {
namespace {
constexpr Duration kLongestTimeout = 24h;  // LIMIT
}

DeploymentQueue::DeploymentQueue(async::Loop& loop, size_t loop_index, std::string node, std::string key,
                                 std::string app, std::shared_ptr<DeploymentGate> gate,
                                 std::shared_ptr<RouteStats> stats)
    : loop_(loop),
      index_(loop_index),
      node_(std::move(node)),
      key_(std::move(key)),
      app_(std::move(app)),
      gate_(std::move(gate)),
      probe_timer_(loop, [this] { pump(); }),
      stats_(std::move(stats)) {
  gate_->attach(index_, this);
  gate_->count_with(index_, stats_);
}

DeploymentQueue::~DeploymentQueue() {
  CHECK(waiting_ == 0);
  gate_->attach(index_, nullptr);
}

void DeploymentQueue::update(const DeploymentRecord& record, const std::vector<std::shared_ptr<ReplicaSlots>>& slots) {
  record_ = record;
  removed_ = false;
  timeout_ = record.request_timeout > Duration::zero() ? std::min(record.request_timeout, kLongestTimeout) : 60s;
  std::vector<std::unique_ptr<ReplicaLink>> before = std::move(links_);
  links_.clear();
  for (size_t i = 0; i < record.replicas.size(); ++i) {
    const ReplicaRecord& r = record.replicas[i];
    const auto same = [&](const std::unique_ptr<ReplicaLink>& l) { return l && l->serves(r); };
    auto it = std::find_if(before.begin(), before.end(), same);
    if (it != before.end()) {
      if (r.draining)
        retire(std::move(*it));
      else
        links_.push_back(std::move(*it));
      continue;
    }
    if (r.draining) continue;  // what runs there is on a link of `leaving_` already
    links_.push_back(std::make_unique<ReplicaLink>(loop_, r, slots[i], !node_.empty() && r.node == node_, next_link_++,
                                                   ReplicaLink::Events{.on_ready = [this] { pump(); }}));
    outliers_.join(links_.back()->outlier());
    links_.back()->open();
  }
  for (auto& l : before)
    if (l) retire(std::move(l));
  const auto others = std::partition(links_.begin(), links_.end(), [](const auto& l) { return l->local(); });
  local_links_ = static_cast<size_t>(others - links_.begin());
  stats_->ejected(outliers_.ejected());
  pump();
}

void DeploymentQueue::retire(std::unique_ptr<ReplicaLink> link) {
  outliers_.leave(link->outlier());
  for (Chosen& chosen : chosen_)
    if (chosen.link == link.get()) chosen = {};
  link->leave();
  leaving_.push_back(std::move(link));
}

void DeploymentQueue::remove() {
  removed_ = true;
  for (auto& l : links_) retire(std::move(l));
  links_.clear();
  probe_timer_.cancel();
  while (first_) {
    Waiter& w = *first_;
    take(w);
    w.on_removed();
  }
}

void DeploymentQueue::reap() {
  std::erase_if(leaving_, [](const auto& l) { return l->calls() == 0; });
}

size_t DeploymentQueue::max_queued() const {
  return record_.max_queued_requests < 0 ? kDefaultMaxQueued : static_cast<size_t>(record_.max_queued_requests);
}

size_t DeploymentQueue::ready_links() const {
  return static_cast<size_t>(std::count_if(links_.begin(), links_.end(), [](const auto& l) { return l->ready(); }));
}

int DeploymentQueue::retry_after() const {
  return policy::retry_after_seconds(gate_->queued(),
                                     ready_links() * static_cast<size_t>(std::max(record_.max_ongoing_requests, 1)),
                                     gate_->mean_service());
}

bool DeploymentQueue::other_ready(const Waiter& w) const {
  return std::any_of(links_.begin(), links_.end(), [&](const auto& l) { return l->ready() && !w.has_tried(*l); });
}

// Ejection is for what the others can carry: when less than half of the replicas are left and connected, all are asked.
bool DeploymentQueue::enough_without_ejected() const {
  const auto good =
      std::count_if(links_.begin(), links_.end(), [](const auto& l) { return l->ready() && !l->outlier().ejected(); });
  return 2 * static_cast<size_t>(good) >= links_.size();
}

ReplicaLink* DeploymentQueue::acquire(const Waiter& w, TimePoint now) {
  for (const Chosen& chosen : chosen_) {
    if (chosen.link == nullptr || chosen.link->outlier().ejected() || w.has_tried(*chosen.link)) continue;
    ReplicaSlots& slots = chosen.link->slots();
    const policy::CandidateLoad load{chosen.link->ready() && slots.free(), slots.outstanding()};
    if (bursts_.goes_on(load, chosen.link->busy(), now - chosen.at) && slots.try_acquire()) return chosen.link;
  }
  ReplicaLink* link = choose(w, now);
  if (link && link->local()) {
    const auto same = std::ranges::find(chosen_, link, &Chosen::link);
    std::shift_right(chosen_.begin(), same == chosen_.end() ? same : same + 1, 1);
    chosen_[0] = {link, now};
  }
  return link;
}

ReplicaLink* DeploymentQueue::choose(const Waiter& w, TimePoint now) {
  const bool all = outliers_.ejected() == 0 || !enough_without_ejected();
  // Another loop may take the slot between the look and the grab: look again, but not for ever.
  for (int attempt = 0; attempt < 4; ++attempt) {
    const auto i = policy::pick_replica(local_links_, links_.size(), loop_.rng(), [&](size_t k) {
      ReplicaLink& l = *links_[k];
      const bool wanted = (all || l.outlier().admits(now)) && !w.has_tried(l);
      return policy::CandidateLoad{wanted && l.ready() && l.slots().free(), l.slots().outstanding()};
    });
    if (!i) return nullptr;
    if (links_[*i]->slots().try_acquire()) return links_[*i].get();
  }
  return nullptr;
}

policy::Admission DeploymentQueue::submit(Waiter& waiter, Deadline deadline) {
  CHECK(!removed_);
  const TimePoint now = loop_.now();
  retry_budget_.note_request(now);
  // Those that have tried a replica could not use what is free.
  if (waiting_ == again_ && !deadline.passed(now)) {
    if (ReplicaLink* link = acquire(waiter, now)) {
      start(waiter, *link);
      return policy::Admission::kRun;
    }
  }
  const size_t slots = ready_links() * static_cast<size_t>(std::max(record_.max_ongoing_requests, 1));
  const auto decision = policy::admit({.slot_free = false,
                                       .queued = gate_->bounded(),
                                       .max_queued = max_queued(),
                                       .slots = slots,
                                       .mean_service = gate_->mean_service(),
                                       .now = now,
                                       .deadline = deadline});
  if (decision != policy::Admission::kQueue) return decision;
  if (!gate_->enter(index_, max_queued())) return policy::Admission::kRefuseFull;
  push(waiter, false);
  pump();
  return policy::Admission::kQueue;
}

void DeploymentQueue::submit_again(Waiter& waiter) {
  if (removed_) {
    waiter.on_removed();
    return;
  }
  gate_->enter_again(index_);
  push(waiter, true);
  pump();
}

void DeploymentQueue::push(Waiter& w, bool front) {
  CHECK(!w.waiting_);
  w.waiting_ = true;
  ++waiting_;
  again_ += w.tries_ > 0;
  stats_->waiting(waiting_);
  w.previous_ = front ? nullptr : last_;
  w.next_ = front ? first_ : nullptr;
  (w.previous_ ? w.previous_->next_ : first_) = &w;
  (w.next_ ? w.next_->previous_ : last_) = &w;
}

void DeploymentQueue::cancel(Waiter& w) {
  if (w.waiting_) take(w);
}

void DeploymentQueue::take(Waiter& w) {
  (w.previous_ ? w.previous_->next_ : first_) = w.next_;
  (w.next_ ? w.next_->previous_ : last_) = w.previous_;
  w.next_ = w.previous_ = nullptr;
  w.waiting_ = false;
  --waiting_;
  again_ -= w.tries_ > 0;
  stats_->waiting(waiting_);
  gate_->leave(index_, w.tries_ > 0);
}

bool DeploymentQueue::may_start(ReplicaLink& link) {
  return link.ready() && (!link.outlier().ejected() || !enough_without_ejected());
}

Waiter* DeploymentQueue::first_for(const ReplicaLink& link) {
  Waiter* w = first_;
  while (w && w->has_tried(link)) w = w->next_;
  return w;
}

void DeploymentQueue::start(Waiter& w, ReplicaLink& link) {
  CHECK(w.tries_ < w.tried_.size());
  w.tried_[w.tries_++] = link.connection();
  w.probe_ = outliers_.on_sent(link.outlier());
  link.add_call();
  stats_->running(++running_);
  w.on_slot(link);
}

void DeploymentQueue::pump() {
  for (Waiter* w = first_; w != nullptr;) {
    Waiter* const next = w->next_;
    if (ReplicaLink* link = acquire(*w, loop_.now())) {
      take(*w);
      start(*w, *link);
    } else if (w->tries_ == 0) {
      return;  // nothing is free for anybody behind it either
    }
    w = next;
  }
}

void DeploymentQueue::call_over(Waiter& w, ReplicaLink& link, Outcome outcome) {
  link.end_call();
  stats_->running(--running_);
  if (outcome == Outcome::kGood)
    bursts_.note(link.busy(), link.last_busy_ns());
  else if (outcome != Outcome::kNothing)
    bursts_.note_failure(link.busy());
  if (!link.leaving()) judge(w, link, outcome);
}

void DeploymentQueue::judge(Waiter& w, ReplicaLink& link, Outcome outcome) {
  policy::OutlierMember& member = link.outlier();
  if (outcome == Outcome::kNothing || (outcome == Outcome::kLost && !link.note_break() && !w.probe_))
    return outliers_.on_no_result(member, w.probe_);
  const auto peers = [this](auto&& see) {
    for (auto& l : links_) see(l->outlier());
  };
  switch (outliers_.on_result(member, outcome == Outcome::kGood, w.probe_, loop_.now(), loop_.rng(), peers)) {
    case policy::Outliers::Change::kNone: return;
    case policy::Outliers::Change::kEjected:
      LOG(warn, "replica {} fails much more often than the others: no requests for {} ms", link.record().id,
          to_ms(member.until() - loop_.now()));
      stats_->ejection();
      if (!probe_timer_.armed() || member.until() < probe_timer_.at()) probe_timer_.arm(member.until());
      break;
    case policy::Outliers::Change::kBack: LOG(info, "replica {} answers well again", link.record().id); break;
  }
  stats_->ejected(outliers_.ejected());
}

void DeploymentQueue::release(ReplicaLink& link, Duration service) {
  if (service > Duration::zero()) gate_->served(service);
  const bool usable = may_start(link) && link.slots().outstanding() <= link.slots().limit();
  Waiter* const w = usable ? first_for(link) : nullptr;
  if (!gate_->keep_released(index_, w != nullptr, link.shared_slots())) {
    if (first_) pump();
    return;
  }
  take(*w);
  start(*w, link);
}

void DeploymentQueue::on_handed(const std::shared_ptr<ReplicaSlots>& slots) {
  for (auto& l : links_) {
    if (l->shared_slots() != slots) continue;
    Waiter* const w = may_start(*l) ? first_for(*l) : nullptr;
    if (!w) break;
    take(*w);
    start(*w, *l);
    return;
  }
  // Nobody waits here any more, or this loop cannot reach that replica now.
  gate_->give_back(index_, slots);
  pump();
}

}  // namespace colony::proxy
