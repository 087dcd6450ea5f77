// See flow.h. Frames are written piece by piece into the stream's outbox: no frame is put together elsewhere first.
#include "transport/frame/flow.h"

#include <algorithm>
#include <new>

#include "base/check.h"

namespace colony::frame {
namespace {

constexpr uint32_t kGrantStep = 64 * 1024;  // credit goes back in steps of this: small bodies cost no credit frame

void write_header(async::Stream& to, const Header& header) {
  char bytes[sizeof(Header)];
  std::memcpy(bytes, &header, sizeof bytes);
  to.write({bytes, sizeof bytes});
}

Header body_header(Type type, uint32_t stream, size_t length, bool end) {
  Header h{};
  h.length = static_cast<uint32_t>(length);
  h.stream = stream;
  h.type = type;
  h.flags = end ? kFlagEnd : uint8_t{0};
  return h;
}

}  // namespace

void write_frame(async::Stream& to, const Header& header, std::string_view payload) {
  CHECK(header.length == payload.size() && payload.size() <= kMaxFrame);
  write_header(to, header);
  if (!payload.empty()) to.write(payload);
}

std::string ring_frame(bool yes) {
  Header h = body_header(Type::kRing, 0, 0, false);
  h.head_len = yes ? 1 : 0;
  std::string out;
  append_frame(out, h, {});
  return out;
}

void write_hello(async::Stream& to, uint32_t max_streams, uint32_t features) {
  const HelloPayload hello{kVersion, features, max_streams};
  char bytes[sizeof hello];
  std::memcpy(bytes, &hello, sizeof bytes);
  write_frame(to, body_header(Type::kHello, 0, sizeof bytes, false), {bytes, sizeof bytes});
}

HelloPayload read_hello(std::string_view payload) {
  HelloPayload hello{};
  CHECK(payload.size() == sizeof hello);
  std::memcpy(&hello, payload.data(), sizeof hello);
  return hello;
}

void write_block_frame(async::Stream& to, Header header, std::string_view block, std::string_view body) {
  header.head_len = static_cast<uint32_t>(block.size());
  header.length = header.head_len + static_cast<uint32_t>(body.size());
  write_header(to, header);
  if (block.data() + block.size() == body.data()) {
    to.write({block.data(), block.size() + body.size()});
    return;
  }
  to.write(block);
  if (!body.empty()) to.write(body);
}

void write_head_frame(async::Stream& to, Header header, const http::HeadBase& head, std::string_view extra,
                      std::string_view body) {
  const std::string_view block = head.block;
  if (!head.has_hop_fields() && extra.empty()) return write_block_frame(to, header, block, body);
  size_t dropped = 0;
  if (head.has_hop_fields())
    for (const http::Field& f : head.fields())
      if (f.hop_by_hop) dropped += f.line.size();
  header.head_len = static_cast<uint32_t>(block.size() - dropped + extra.size());
  header.length = header.head_len + static_cast<uint32_t>(body.size());
  write_header(to, header);
  const char *run = block.data(), *const empty_line = run + block.size() - 2;
  if (dropped > 0) {
    for (const http::Field& f : head.fields()) {
      if (!f.hop_by_hop) continue;
      if (f.line.data() > run) to.write({run, f.line.data()});
      run = f.line.data() + f.line.size();
    }
  }
  if (empty_line > run) to.write({run, empty_line});
  if (!extra.empty()) to.write(extra);
  to.write("\r\n");
  if (!body.empty()) to.write(body);
}

void Outflow::reset() {
  credit_ = kStreamCredit;
  ended_ = wants_room_ = false;
  waiting_.reset();
}

size_t Outflow::first(size_t size) const {
  return std::min<size_t>({size, kBodyChunk, static_cast<size_t>(std::max<int64_t>(credit_, 0))});
}

void Outflow::put(async::Stream& to, uint32_t stream, std::string_view data, bool end) {
  do {
    const std::string_view piece = data.substr(0, kBodyChunk);
    data.remove_prefix(piece.size());
    credit_ -= static_cast<int64_t>(piece.size());
    ended_ = end && data.empty();
    write_frame(to, body_header(Type::kBody, stream, piece.size(), ended_), piece);
  } while (!data.empty());
}

bool Outflow::send(async::Stream& to, uint32_t stream, std::string_view data, bool end) {
  if (ended_ || (waiting_ && waiting_->end)) return true;
  if (!waiting_) {
    if (data.empty() && !end) return true;
    const auto fits = std::min<size_t>(data.size(), static_cast<size_t>(std::max<int64_t>(credit_, 0)));
    if (fits == data.size()) {
      put(to, stream, data, end);
      return true;
    }
    if (fits > 0) put(to, stream, data.substr(0, fits), false);
    data.remove_prefix(fits);
    waiting_ = std::make_unique<Waiting>();
  }
  try {
    waiting_->bytes += data;
  } catch (const std::bad_alloc&) {
    return false;
  }
  waiting_->end = end;
  return true;
}

void Outflow::end(async::Stream& to, uint32_t stream, std::string_view trailers) {
  if (ended_ || (waiting_ && waiting_->end)) return;
  if (waiting_) {
    waiting_->end = true;
    waiting_->trailers = trailers;
    return;
  }
  ended_ = true;
  write_frame(to, body_header(Type::kEnd, stream, trailers.size(), false), trailers);
}

bool Outflow::grant(async::Stream& to, uint32_t stream, uint32_t bytes) {
  credit_ = std::min<int64_t>(credit_ + bytes, kStreamCredit * 16);
  if (waiting_) {
    Waiting& w = *waiting_;
    const std::string_view data = std::string_view(w.bytes).substr(w.at);
    const auto fits = std::min<size_t>(data.size(), static_cast<size_t>(std::max<int64_t>(credit_, 0)));
    const bool all = fits == data.size();
    if (fits > 0) put(to, stream, data.substr(0, fits), all && w.end && w.trailers.empty());
    w.at += fits;
    if (!all) return false;
    const auto spent = std::move(waiting_);
    if (spent->end && !ended_) end(to, stream, spent->trailers);
  }
  return credit_ > 0 && std::exchange(wants_room_, false);
}

int64_t Outflow::writable() {
  const int64_t room = credit_ - static_cast<int64_t>(held());
  if (room <= 0) wants_room_ = true;
  return room;
}

void Inflow::consumed(async::Stream& to, uint32_t stream, size_t bytes) {
  const auto unconsumed = static_cast<size_t>(std::max<int64_t>(kStreamCredit - left_ - used_, 0));
  used_ += static_cast<uint32_t>(std::min(bytes, unconsumed));
  if (used_ < kGrantStep) return;
  Header h = body_header(Type::kCredit, stream, 0, false);
  h.head_len = std::exchange(used_, 0);
  left_ += h.head_len;
  write_frame(to, h);
}

}  // namespace colony::frame
