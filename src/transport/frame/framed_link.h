// What Link::connect() makes. Internal to transport/frame; the connection is link.cc, the calls on it link_calls.cc.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "async/deferred.h"
#include "async/link_stream.h"
#include "transport/frame/flow.h"
#include "transport/frame/link.h"
#include "transport/http/chunked.h"

namespace colony::frame {

class FramedLink final : public Link, public async::StreamHandler {
 public:
  FramedLink(async::Loop& loop, async::Endpoint to, Deadline deadline, Events events);
  ~FramedLink() override {
    if (gone_) *gone_ = true;
  }

  bool ready() const override { return opened_ && !goaway_ && !closed_; }
  CallId call(const http::RequestHead& head, std::string_view extra, std::string_view body, bool end, Deadline deadline,
              CallHandler& handler) override;
  CallId call_block(std::string_view block, std::string_view body, bool end, Deadline deadline,
                    CallHandler& handler) override;
  int64_t writable(CallId id) const override;
  void body(CallId id, std::string_view data, bool end) override;
  void end(CallId id, std::string_view trailers) override;
  void consumed(CallId id, size_t reply_bytes) override;
  void cancel(CallId id) override;
  void drain(CallId id) override;
  size_t outstanding() const override { return open_; }
  uint32_t busy_ns() const override { return busy_ns_; }
  size_t pending() const override { return stream_ ? stream_->pending() : 0; }

  size_t on_bytes(std::string_view data) override;
  void on_end() override { die(broken("the replica ended it")); }
  void on_closed(const Error& error) override { die(broken(error.message)); }

 private:
  struct Call {
    explicit Call(uint32_t s) : slot(s) {}
    const uint32_t slot;
    uint32_t generation = 1;
    CallHandler* handler = nullptr;  // null: the slot is free
    mutable Outflow out;
    Inflow in;
    bool replied = false, doomed = false;
    bool tunnel = false, reply_ended = false;  // reply_ended: of a tunnel, which goes on in the other direction
  };

  static uint32_t wire(const Call& c) { return (c.generation & 0xffff) << 16 | c.slot; }
  static CallId id_of(const Call& c) { return uint64_t{c.generation} << 32 | c.slot; }
  Call* find(CallId id) const {
    const auto slot = static_cast<uint32_t>(id);
    if (slot >= calls_.size()) return nullptr;
    Call& c = *calls_[slot];
    return c.handler && id_of(c) == id ? &c : nullptr;
  }
  Call* find_live(CallId id) const {
    Call* c = find(id);
    return c && !c->doomed && stream_ ? c : nullptr;
  }
  // kStale: that call is over. kNever: no such call was ever made.
  enum class Known : uint8_t { kOpen, kStale, kNever };
  Known look_up(uint32_t stream, Call*& out) {
    const uint32_t slot = slot_of(stream);
    if (slot >= calls_.size()) return Known::kNever;
    Call& c = *calls_[slot];
    if (!c.handler || c.doomed || wire(c) != stream) return Known::kStale;
    out = &c;
    return Known::kOpen;
  }

  Call& acquire(CallHandler& handler);
  template <class WriteHead>
  CallId start(std::string_view body, bool end, Deadline deadline, CallHandler& handler, WriteHead write_head);
  CallHandler& release(Call& call);
  void send(Call& call, std::string_view data, bool end);
  void send_cancel(uint32_t stream);
  Error broken(const std::string& why) const {
    return unavailable("the link to " + to_.text + " broke: " + why, "link_broken");
  }

  void on_connected(Result<std::unique_ptr<async::Stream>> stream);
  // Each returns false when this is gone or dead.
  bool take(const Header& header, std::string_view payload);
  bool take_hello(std::string_view payload);
  bool take_ring_answer(bool yes);
  bool open();
  bool take_reply(Call& call, const Header& header, std::string_view payload);
  bool take_body(Call& call, const Header& header, std::string_view payload);
  bool take_end(Call& call, std::string_view trailers);
  bool take_cancel(Call& call, std::string_view payload);
  bool take_credit(Call& call, uint32_t bytes);
  void end_tunnel_if_over(Call& call);
  bool bad_reply(Call& call, std::string_view why);
  bool bad_peer(std::string_view why) {
    return die(broken("the replica does not keep to the protocol: " + std::string(why)));
  }
  bool die(Error error);
  void fail_doomed();
  void on_timer();

  async::Loop& loop_;
  const async::Endpoint to_;
  Events events_;
  std::unique_ptr<async::Stream> stream_;
  async::LinkStream* shared_ = nullptr;  // stream_'s, where it has one
  async::Timer timer_;
  async::Deferred doom_;
  std::vector<std::unique_ptr<Call>> calls_;  // by slot
  std::vector<uint32_t> free_, spare_;        // slots below and above what the replica takes
  uint32_t max_calls_ = kMaxSlots;
  size_t open_ = 0;
  uint32_t busy_ns_ = 0;
  Deadline ready_by_;
  TimePoint heard_, pinged_ = TimePoint::max();
  bool hello_seen_ = false, ring_offered_ = false, opened_ = false, goaway_ = false, closed_ = false;
  bool* gone_ = nullptr;  // set by the destructor while a callback runs
  std::shared_ptr<bool> alive_;
};

}  // namespace colony::frame
