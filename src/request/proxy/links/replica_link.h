// One loop's way to one replica: the link (of frames, or of what a server of the user's own speaks), its reconnects with bounded back-off, and what the loop must know to
// choose it. Owned by a DeploymentQueue, lives on its loop. A new incarnation or address of a replica is another
// ReplicaLink; this one then finishes what runs.
// On failure: the link fails its calls by itself (frame/link.h); this object only dials again.
#pragma once

#include <functional>
#include <memory>
#include <utility>

#include "domain/table.h"
#include "policy/burst.h"
#include "policy/outlier.h"
#include "request/proxy/admit/slots.h"
#include "transport/frame/link.h"

namespace colony::proxy {

class ReplicaLink {
 public:
  struct Events {
    std::function<void()> on_ready;  // calls may start
  };
  // `number` tells the links of one queue apart, for ever.
  ReplicaLink(async::Loop& loop, ReplicaRecord record, std::shared_ptr<ReplicaSlots> slots, bool local, uint32_t number,
              Events events);
  ~ReplicaLink();
  ReplicaLink(const ReplicaLink&) = delete;
  ReplicaLink& operator=(const ReplicaLink&) = delete;

  void open();
  // No new calls; no more dialling. It may be destroyed once calls() is zero, outside the link's callbacks.
  void leave();

  bool serves(const ReplicaRecord& r) const {
    return r.id == record_.id && r.incarnation == record_.incarnation && r.address == record_.address &&
           r.protocol == record_.protocol;
  }
  bool leaving() const { return leaving_; }
  bool ready() const { return !leaving_ && link_ && link_->ready(); }
  frame::Link& link() { return *link_; }
  bool local() const { return local_; }
  ReplicaSlots& slots() { return *slots_; }
  const ReplicaSlots& slots() const { return *slots_; }
  const std::shared_ptr<ReplicaSlots>& shared_slots() const { return slots_; }
  const ReplicaRecord& record() const { return record_; }

  policy::OutlierMember& outlier() { return outlier_; }  // its queue's Outliers know it

  // How long a request keeps its loop busy; its queue's Bursts know it.
  policy::BusyEstimate& busy() { return busy_; }
  uint32_t last_busy_ns() const { return link_ ? link_->busy_ns() : 0; }

  // True for the first of the calls that a broken connection takes with it: together they are one failure.
  bool note_break() { return std::exchange(noted_break_, connection()) != connection(); }

  void add_call() { ++calls_; }
  void end_call() { --calls_; }
  size_t calls() const { return calls_; }
  // Never the same for two connections. A replica that is reached by a new one counts as another: most likely it is a new
  // process at the old address.
  uint64_t connection() const { return uint64_t{number_} << 32 | connects_; }

 private:
  void dial();
  void opened();
  void closed(const Error& error);
  void redial();

  async::Loop& loop_;
  ReplicaRecord record_;
  std::shared_ptr<ReplicaSlots> slots_;
  const bool local_;
  const uint32_t number_;
  Events events_;
  std::unique_ptr<frame::Link> link_;
  policy::OutlierMember outlier_;
  policy::BusyEstimate busy_;
  uint64_t noted_break_ = ~uint64_t{0};
  bool leaving_ = false;
  size_t calls_ = 0;
  uint32_t connects_ = 0;
  TimePoint ready_since_ = TimePoint::max();
  Duration backoff_;
  async::Timer retry_;
};

}  // namespace colony::proxy
