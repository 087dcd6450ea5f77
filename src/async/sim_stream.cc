// See sim_stream.h. All that happens to a stream is state with a time in it; a poke looks at that state, so healing a
// partition is one more poke.
#include "async/sim_stream.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace colony::async {

void SimWorld::poke_at(TimePoint when, uint64_t stream) {
  at(when, [this, stream] {
    if (auto it = streams.find(stream); it != streams.end()) it->second->poke();
  });
}

SimStream::SimStream(SimWorld& world, std::shared_ptr<SimConnection> connection, int side, std::string peer)
    : BufferedStream(world.turn),
      world_(world),
      connection_(std::move(connection)),
      side_(side),
      id_(world.next_stream++),
      peer_(std::move(peer)) {
  connection_->ids[side] = id_;
  world_.streams.emplace(id_, this);
}

SimStream::~SimStream() { SimStream::close_transport(); }

Result<void> SimStream::offer_ring(std::string_view message) {
  if (!expect_ring()) return fail(unimplemented("only a unix stream goes over to a ring"));
  write(message);
  return {};
}

bool SimStream::something_arrived() {
  const SimPipe& pipe = in();
  return pipe.segments.empty() ? pipe.ended_at <= world_.now : pipe.segments.front().at <= world_.now;
}

void SimStream::poke() {
  if (connection_->broken) return now_broken();
  if (world_.partitioned(connection_->endpoint)) return;
  if (reset()) now_broken();
  if (connection_->unix_like && peer_gone()) {
    now_hung_up();
  } else if (something_arrived()) {
    now_readable(in().ended_at <= world_.now);
  }
  if (out().in_flight < world_.options.stream_buffer) now_writable();
}

BufferedStream::Io SimStream::receive(char* to, size_t room) {
  if (connection_->broken) return {-1, ECONNRESET};
  if (world_.partitioned(connection_->endpoint)) return {-1, EAGAIN};
  SimPipe& pipe = in();
  size_t want = room;
  if (world_.options.max_chunk > 0) want = std::min<size_t>(room, 1 + world_.rng.below(world_.options.max_chunk));
  size_t n = 0;
  while (n < want && !pipe.segments.empty() && pipe.segments.front().at <= world_.now) {
    auto& s = pipe.segments.front();
    const size_t part = std::min(want - n, s.bytes.size() - s.taken);
    std::memcpy(to + n, s.bytes.data() + s.taken, part);
    n += part;
    s.taken += part;
    if (s.taken == s.bytes.size()) pipe.segments.pop_front();
  }
  if (n == 0) {
    if (reset()) return {-1, ECONNRESET};
    return something_arrived() ? Io{0, 0} : Io{-1, EAGAIN};
  }
  pipe.in_flight -= n;
  world_.poke_at(world_.now, connection_->ids[1 - side_]);
  if (something_arrived()) world_.poke_at(world_.now, id_);
  return {static_cast<ssize_t>(n), 0};
}

BufferedStream::Io SimStream::send(std::string_view a, std::string_view b) {
  if (reset()) return {-1, ECONNRESET};
  const size_t size = a.size() + b.size();
  if (peer_gone()) {
    if (connection_->unix_like) return {-1, EPIPE};
    const TimePoint answer = world_.now + 2 * world_.options.latency;
    connection_->reset_at[side_] = std::min(connection_->reset_at[side_], answer);
    world_.poke_at(answer, id_);
    return {static_cast<ssize_t>(size), 0};
  }
  SimPipe& pipe = out();
  const size_t limit = world_.options.stream_buffer;
  const size_t n = std::min(size, limit > pipe.in_flight ? limit - pipe.in_flight : 0);
  if (n == 0) return {-1, EAGAIN};
  std::string bytes(a.substr(0, n));
  if (n > a.size()) bytes += b.substr(0, n - a.size());
  const TimePoint arrival = world_.now + world_.options.latency;
  pipe.in_flight += n;
  pipe.segments.push_back({arrival, std::move(bytes)});
  world_.poke_at(arrival, connection_->ids[1 - side_]);
  return {static_cast<ssize_t>(n), 0};
}

void SimStream::end_sending() {
  if (out().ended_at != TimePoint::max()) return;
  out().ended_at = world_.now + world_.options.latency;
  world_.poke_at(out().ended_at, connection_->ids[1 - side_]);
}

void SimStream::close_transport() {
  if (!std::exchange(open_, false)) return;
  world_.streams.erase(id_);
  const TimePoint known = world_.now + world_.options.latency;
  if (resets_) connection_->reset_at[1 - side_] = known;
  end_sending();
  connection_->gone_at[side_] = known;
  in().segments.clear();
  in().in_flight = 0;
  world_.poke_at(connection_->gone_at[side_], connection_->ids[1 - side_]);
}

}  // namespace colony::async
