// The in-memory transport of SimLoop: two directions of segments, each with the moment at which it arrives. Internal.
#pragma once

#include <deque>
#include <map>
#include <queue>
#include <set>

#include "async/buffered_stream.h"
#include "async/sim_loop.h"

namespace colony::async {

class SimStream;

// What the streams need of the loop.
class SimWorld {
 public:
  SimWorld(SimLoop::Options o, TimePoint start) : options(o), now(start), rng(o.seed), turn(start) {}
  void at(TimePoint when, std::function<void()> fn) { events.push({when, next_event++, std::move(fn)}); }
  void poke_at(TimePoint when, uint64_t stream);
  bool partitioned(const std::string& endpoint) const { return cut.contains(endpoint); }

  struct Event {
    TimePoint when;
    uint64_t order;
    std::function<void()> fn;
    bool operator<(const Event& o) const { return when != o.when ? when > o.when : order > o.order; }
  };
  const SimLoop::Options options;
  TimePoint now;
  Duration spent = Duration::zero();  // LinkStream::clock() is ahead by this
  Rng rng;
  Turn turn;
  std::priority_queue<Event> events;
  uint64_t next_event = 0, next_stream = 1;
  std::map<uint64_t, SimStream*> streams;
  std::set<std::string> cut;
};

// One direction of a connection.
struct SimPipe {
  struct Segment {
    TimePoint at;
    std::string bytes;
    size_t taken = 0;
  };
  std::deque<Segment> segments;
  size_t in_flight = 0;
  TimePoint ended_at = TimePoint::max();  // the writer's half closes
};

struct SimConnection {
  std::string endpoint;
  bool unix_like = false;  // a unix socket tells of the peer's close at once, TCP answers the next bytes with a reset
  bool broken = false;     // reset_all()
  SimPipe pipes[2];        // pipes[side] is written by that side
  uint64_t ids[2] = {0, 0};
  TimePoint gone_at[2] = {TimePoint::max(), TimePoint::max()};   // when the other side can know that this one closed
  TimePoint reset_at[2] = {TimePoint::max(), TimePoint::max()};  // when this side gets a reset
};

class SimStream final : public BufferedStream {
 public:
  SimStream(SimWorld& world, std::shared_ptr<SimConnection> connection, int side, std::string peer);
  ~SimStream() override;
  std::string peer() const override { return peer_; }
  void reset_when_closed() override { resets_ = !connection_->unix_like; }
  const SimConnection& connection() const { return *connection_; }
  SimConnection& connection() { return *connection_; }
  void poke();  // looks at what has arrived by now
  // Unix streams agree to go over to rings, which changes nothing in here.
  bool expect_ring() override { return connection_->unix_like; }
  Result<void> offer_ring(std::string_view message) override;
  Result<void> accept_ring(std::string_view answer) override {
    on_ring_ = true;
    return offer_ring(answer);
  }
  void use_ring() override { on_ring_ = true; }
  bool on_ring() const override { return on_ring_; }
  uint64_t bells() const override { return 0; }
  TimePoint clock() const override { return world_.now + world_.spent; }

 protected:
  Io receive(char* to, size_t room) override;
  Io send(std::string_view a, std::string_view b) override;
  void end_sending() override;
  void close_transport() override;
  int take_error() override { return ECONNRESET; }

 private:
  bool reset() const { return connection_->broken || connection_->reset_at[side_] <= world_.now; }
  bool peer_gone() const { return connection_->gone_at[1 - side_] <= world_.now; }
  SimPipe& in() { return connection_->pipes[1 - side_]; }
  SimPipe& out() { return connection_->pipes[side_]; }
  bool something_arrived();

  SimWorld& world_;
  std::shared_ptr<SimConnection> connection_;
  int side_;
  uint64_t id_;
  std::string peer_;
  bool open_ = true, on_ring_ = false, resets_ = false;
};

}  // namespace colony::async
