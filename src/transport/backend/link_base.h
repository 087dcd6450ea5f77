// What both links to a backend have in common: the table of calls, the connections and the making of new ones, and the end
// of a turn, at which failures are told, since then neither a library nor a callback is on the stack.
// A template over the call's slot and the connection (Wire), so that each link keeps its own without a cast. Internal to
// transport/backend.
#pragma once

#include <algorithm>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "async/deferred.h"
#include "transport/backend/link.h"

namespace colony::backend {

// One call's slot, as far as the base knows it. Owned by the link, recycled; `handler` is null while it is free. What is
// derived from it has clear(), which leaves it as new when the call is over.
template <class Wire>
struct CallSlot {
  explicit CallSlot(uint32_t s) : slot(s) {}
  frame::CallId id() const { return uint64_t{generation} << 32 | slot; }
  const uint32_t slot;
  uint32_t generation = 1;
  frame::CallHandler* handler = nullptr;
  Wire* wire = nullptr;       // null: waits for a connection, or is doomed
  std::optional<Error> doom;  // on_failed is due at the end of the turn
};

// Call is derived from CallSlot<Wire>; Wire has `size_t index`, its place in the list, and close().
template <class Call, class Wire>
class LinkBase : public frame::Link {
 public:
  bool ready() const override { return ready_; }
  frame::CallId call_block(std::string_view block, std::string_view body, bool end, Deadline deadline,
                           frame::CallHandler& handler) override {
    Call& c = acquire(handler);
    http::RequestHead head;
    http::ParseError problem;
    if (http::parse_inner_request_head(block, head, problem) == http::ParseState::kComplete)
      start(c, head, {}, body, end, deadline);
    else
      doom(c, not_sendable(problem.message));
    return c.id();
  }
  void cancel(frame::CallId id) override {
    Call* c = find(id);
    if (c == nullptr) return;
    leave(*c);
    release(*c);
  }
  size_t outstanding() const override { return open_; }
  size_t pending() const override { return 0; }

 protected:
  static constexpr Duration kConnectTimeout = 2s;
  static constexpr Duration kFirstBackoff = 20ms, kLastBackoff = 1s;

  LinkBase(async::Loop& loop, async::Endpoint to, Events events)
      : loop_(loop),
        to_(std::move(to)),
        events_(std::move(events)),
        backoff_(kFirstBackoff),
        turn_end_(loop, [this] { end_of_turn(); }),
        redial_(loop,
                [this] {
                  if (!ready_ || !waiting_.empty()) dial();
                }),
        alive_(std::make_shared<bool>(true)) {}

  virtual void start(Call& call, const http::RequestHead& head, std::string_view extra, std::string_view body, bool end,
                     Deadline deadline) = 0;
  virtual void abandon(Wire& wire, Call& call) = 0;  // the call is over before its reply was whole
  virtual void on_connected(Result<std::unique_ptr<async::Stream>> stream) = 0;
  virtual void before_failures() {}  // at the end of a turn

  Error error(std::string message, std::string reason, Retry retry) const {
    Error e = unavailable("the backend at " + to_.text + " " + std::move(message), std::move(reason));
    e.origin = Origin::kUpstream;
    e.retry = retry;
    return e;
  }
  Error no_connection(const Error& cause) const {
    Error e = error("takes no connection: " + cause.message, "connect_failed", Retry::kYes);
    if (cause.code == Code::kDeadlineExceeded) e.code = Code::kDeadlineExceeded;
    return e;
  }
  Error not_sendable(std::string_view why) const {
    Error e = error("cannot be sent this request: " + std::string(why), std::string(kBadRequest), Retry::kNo);
    e.code = Code::kInvalidArgument;
    return e;
  }
  Error not_ready() const { return down_ ? *down_ : error("has no connection yet", "link_down", Retry::kYes); }

  // ---- calls ----

  Call* find(frame::CallId id) const {
    const auto slot = static_cast<uint32_t>(id);
    if (slot >= calls_.size()) return nullptr;
    Call& c = calls_[slot];
    return c.handler && c.generation == id >> 32 ? &c : nullptr;
  }
  Call& acquire(frame::CallHandler& handler) {
    auto slot = static_cast<uint32_t>(calls_.size());
    if (free_.empty()) {
      calls_.emplace_back(slot);
    } else {
      slot = free_.back();
      free_.pop_back();
    }
    Call& c = calls_[slot];
    c.handler = &handler;
    ++open_;
    return c;
  }
  frame::CallHandler& release(Call& c) {
    ++c.generation;
    c.wire = nullptr;
    c.clear();
    if (c.doom) {
      c.doom.reset();
      --doomed_;
    }
    free_.push_back(c.slot);
    --open_;
    return *std::exchange(c.handler, nullptr);
  }
  // The call fails at the end of the turn.
  void doom(Call& c, Error why) {
    if (c.doom) return;
    leave(c);
    c.doom = std::move(why);
    ++doomed_;
    mark_dirty();
  }

  // ---- connections ----

  void dial(Deadline deadline) {
    ++connecting_;
    loop_.connect(to_, deadline, [this, alive = std::weak_ptr<bool>(alive_)](Result<std::unique_ptr<async::Stream>> s) {
      if (!alive.expired()) on_connected(std::move(s));
    });
  }
  void dial() { dial(Deadline::after(loop_.now(), kConnectTimeout)); }
  Wire& add(std::unique_ptr<Wire> wire) {
    wire->index = wires_.size();
    wires_.push_back(std::move(wire));
    return *wires_.back();
  }
  // Destroyed at the end of the turn.
  void bury(Wire& wire) {
    wire.close();
    auto& slot = wires_[wire.index];
    dead_.push_back(std::move(slot));
    if (slot = std::move(wires_.back()); slot) slot->index = wire.index;
    wires_.pop_back();
    mark_dirty();
  }
  // The backend takes connections. True: it did not before.
  bool opened() {
    backoff_ = kFirstBackoff;
    down_.reset();
    redial_.cancel();
    return !std::exchange(ready_, true);
  }
  void try_again_later() {
    if (redial_.armed()) return;
    redial_.arm_after(backoff_);
    backoff_ = std::min<Duration>(backoff_ * 2, kLastBackoff);
  }
  bool tries_again_later() const { return redial_.armed(); }
  void mark_dirty() { turn_end_.schedule(); }

  async::Loop& loop_;
  const async::Endpoint to_;
  Events events_;
  mutable std::deque<Call> calls_;  // by slot; a call in it never moves
  std::deque<Call*> waiting_;       // for a connection or a stream on one; cancelled ones are taken out
  std::vector<std::unique_ptr<Wire>> wires_;
  size_t connecting_ = 0;
  bool ready_ = false;
  bool stale_ = false;         // a connection ended under calls that may be sent to this backend again, on a new one
  std::optional<Error> down_;  // the last connection was refused

 private:
  void leave(Call& c) {
    if (c.wire != nullptr)
      abandon(*std::exchange(c.wire, nullptr), c);
    else if (!c.doom)
      std::erase(waiting_, &c);
  }
  void end_of_turn() {
    before_failures();
    const bool again = std::exchange(stale_, false);
    dead_.clear();
    for (size_t i = 0; doomed_ > 0 && i < calls_.size(); ++i) {
      if (!calls_[i].handler || !calls_[i].doom) continue;
      const Error why = *calls_[i].doom;
      release(calls_[i]).on_failed(why);
    }
    if (again && ready_ && events_.on_ready) events_.on_ready();
    if (!down_ || ready_ || connecting_ > 0) return;
    if (!wires_.empty() || open_ > 0) return try_again_later();
    const Error why = *down_;
    if (events_.on_closed) events_.on_closed(why);  // this may be gone now
  }

  std::vector<uint32_t> free_;
  std::vector<std::unique_ptr<Wire>> dead_;
  size_t open_ = 0, doomed_ = 0;
  Duration backoff_;
  async::Deferred turn_end_;
  async::Timer redial_;
  std::shared_ptr<bool> alive_;
};

}  // namespace colony::backend
