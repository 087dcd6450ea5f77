// Back-off begins at 5 ms, because a replica that is restarted in place listens again within a moment, and ends at 1 s.
#include "request/proxy/links/replica_link.h"

#include <algorithm>

#include "base/log.h"
#include "transport/backend/link.h"

namespace colony::proxy {
namespace {
constexpr Duration kFirstBackoff = 5ms;
constexpr Duration kLastBackoff = 1s;
constexpr Duration kConnectTimeout = 2s;
constexpr Duration kSteady = 200ms;  // a link that lived so long was a good one
}  // namespace

ReplicaLink::ReplicaLink(async::Loop& loop, ReplicaRecord record, std::shared_ptr<ReplicaSlots> slots, bool local,
                         uint32_t number, Events events)
    : loop_(loop),
      record_(std::move(record)),
      slots_(std::move(slots)),
      local_(local),
      number_(number),
      events_(std::move(events)),
      backoff_(kFirstBackoff),
      retry_(loop, [this] { dial(); }) {}

ReplicaLink::~ReplicaLink() { CHECK(calls_ == 0); }

void ReplicaLink::open() { dial(); }

void ReplicaLink::leave() {
  leaving_ = true;
  retry_.cancel();
  if (link_) link_->drain_tunnels();
}

void ReplicaLink::dial() {
  if (leaving_) return;
  const auto connect = record_.protocol.empty()    ? &frame::Link::connect
                       : record_.protocol == "h2c" ? &backend::connect_h2
                                                   : &backend::connect_http1;
  link_ = connect(
      loop_, async::Endpoint{record_.address}, Deadline::after(loop_.now(), kConnectTimeout),
      {.on_ready = [this] { opened(); }, .on_goaway = {}, .on_closed = [this](const Error& error) { closed(error); }});
}

void ReplicaLink::opened() {
  ++connects_;
  ready_since_ = loop_.now();
  if (!leaving_ && events_.on_ready) events_.on_ready();
}

void ReplicaLink::closed(const Error& error) {
  if (!leaving_) LOG(debug, "link to {} ({}): {}", record_.id, record_.address, error.message);
  link_.reset();  // and with it the function that called this
  if (leaving_) return;
  // A replica that takes connections only to say goodbye is not hammered.
  if (ready_since_ != TimePoint::max() && loop_.now() - ready_since_ > kSteady) backoff_ = kFirstBackoff;
  ready_since_ = TimePoint::max();
  redial();
}

void ReplicaLink::redial() {
  const auto spread = static_cast<uint64_t>(backoff_.count());
  retry_.arm_after(backoff_ / 2 + Duration(static_cast<int64_t>(loop_.rng().below(spread))));
  backoff_ = std::min(backoff_ * 2, kLastBackoff);
}

}  // namespace colony::proxy
