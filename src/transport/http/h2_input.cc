// Frames in: what each of them means for the connection and its streams, and what ends them (RFC 9113, 5 and 6). A frame is
// looked at once it is whole, but for DATA, whose bytes go on as they come.
#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "transport/http/h2_connection.h"

namespace colony::http {
namespace {

constexpr uint16_t number(H2Setting setting) { return static_cast<uint16_t>(setting); }

// The five bytes of priority in HEADERS and PRIORITY are read for one error only.
bool depends_on_itself(std::string_view payload, uint32_t stream) {
  return (h2_read32(payload.data()) & 0x7fffffff) == stream;
}

}  // namespace

size_t H2Connection::on_bytes(std::string_view data) {
  if (ending_ || lingering_ || over_) return data.size();
  wake();
  size_t used = 0;
  while (used < data.size() && !ending_ && !over_) {
    const std::string_view rest = data.substr(used);
    const size_t n = work_->in_data ? take_data(rest) : preface_seen_ ? take_frame(rest) : take_preface(rest);
    if (n == 0) break;
    used += n;
  }
  deliver();
  mark_dirty();
  return ending_ || over_ ? data.size() : used;
}

void H2Connection::fail(H2Error error) {
  if (ending_ || over_) return;
  ++context_.stats.bad_requests;
  LOG(debug, "{}: HTTP/2 input refused with error {}", peer_, static_cast<uint32_t>(error));
  terminate(error);
}

size_t H2Connection::take_preface(std::string_view data) {
  const size_t n = std::min(data.size(), kHttp2Preface.size());
  if (data.substr(0, n) != kHttp2Preface.substr(0, n)) fail(H2Error::kProtocol);
  if (n < kHttp2Preface.size()) return 0;
  preface_seen_ = true;
  return n;
}

size_t H2Connection::take_frame(std::string_view data) {
  if (data.size() < kH2FrameHead) return 0;
  const H2FrameHead head = h2_read_head(data.data());
  const bool continues =
      work_->block_stream != 0 && head.is(H2Type::kContinuation) && head.stream == work_->block_stream;
  const bool greets = head.is(H2Type::kSettings) && !head.has(h2_flag::kAck);
  if ((work_->block_stream != 0 && !continues) || (!greeted_ && !greets)) {
    fail(H2Error::kProtocol);
    return 0;
  }
  if (head.length > kH2MaxFrame) {
    fail(H2Error::kFrameSize);
    return 0;
  }
  if (head.is(H2Type::kData)) return begin_data(head, data);
  if (data.size() < kH2FrameHead + head.length) {
    if (head.is(H2Type::kHeaders) && !alarms_.armed(Alarm::kHead))
      alarms_.arm_after(Alarm::kHead, context_.options.head_timeout);
    return 0;
  }
  if (charge(head)) on_frame(head, data.substr(kH2FrameHead, head.length));
  return kH2FrameHead + head.length;
}

bool H2Connection::charge(const H2FrameHead& head) {
  const TimePoint now = context_.loop.now();
  bool good = true;
  switch (static_cast<H2Type>(head.type)) {
    case H2Type::kHeaders: work_->continuations = 0; return true;
    case H2Type::kRstStream: return true;  // charge_reset() is below
    case H2Type::kContinuation: good = ++work_->continuations <= H2Guard::kMaxContinuations; break;
    case H2Type::kWindowUpdate: good = guard_.windows.take(now); break;
    default: good = guard_.control.take(now); break;
  }
  if (!good) terminate(H2Error::kEnhanceYourCalm);
  return good;
}

void H2Connection::on_frame(const H2FrameHead& head, std::string_view payload) {
  switch (static_cast<H2Type>(head.type)) {
    case H2Type::kData: return;
    case H2Type::kHeaders: return on_headers(head, payload);
    case H2Type::kContinuation: return on_continuation(head, payload);
    case H2Type::kPriority:
      if (head.stream == 0) return fail(H2Error::kProtocol);
      if (payload.size() != 5) return fail(H2Error::kFrameSize);
      if (depends_on_itself(payload, head.stream)) return fail(H2Error::kProtocol);
      return;
    case H2Type::kRstStream: return on_reset(head, payload);
    case H2Type::kSettings: return on_settings(head, payload);
    case H2Type::kPushPromise: return fail(H2Error::kProtocol);
    case H2Type::kPing:
      if (head.stream != 0) return fail(H2Error::kProtocol);
      if (payload.size() != 8) return fail(H2Error::kFrameSize);
      if (head.has(h2_flag::kAck)) {
        if (notice_sent_) final_goaway();
        return;
      }
      h2_append_head(out(), payload.size(), H2Type::kPing, h2_flag::kAck, 0);
      work_->out.append(payload);
      return;
    case H2Type::kGoaway:
      if (head.stream != 0) return fail(H2Error::kProtocol);
      if (payload.size() < 8) return fail(H2Error::kFrameSize);
      goaway_received_ = true;
      return;
    case H2Type::kWindowUpdate: return on_window_update(head, payload);
  }
}

// ---- header blocks ----

void H2Connection::on_headers(const H2FrameHead& head, std::string_view payload) {
  if (head.stream == 0 || head.stream % 2 == 0) return fail(H2Error::kProtocol);
  if (!h2_unpad(head, payload)) return fail(H2Error::kProtocol);
  if (head.has(h2_flag::kPriority)) {
    if (payload.size() < 5) return fail(H2Error::kFrameSize);
    if (depends_on_itself(payload, head.stream)) return fail(H2Error::kProtocol);
    payload.remove_prefix(5);
  }
  if (head.has(h2_flag::kEndHeaders)) return on_block(head.stream, head.has(h2_flag::kEndStream), payload);
  work_->block_stream = head.stream;
  work_->block_ends_stream = head.has(h2_flag::kEndStream);
  work_->block = payload;
  if (!alarms_.armed(Alarm::kHead)) alarms_.arm_after(Alarm::kHead, context_.options.head_timeout);
}

void H2Connection::on_continuation(const H2FrameHead& head, std::string_view payload) {
  if (work_->block_stream == 0) return fail(H2Error::kProtocol);
  work_->block.append(payload);
  if (!head.has(h2_flag::kEndHeaders)) return;
  const std::string block = std::exchange(work_->block, std::string());
  on_block(std::exchange(work_->block_stream, 0), work_->block_ends_stream, block);
}

void H2Connection::on_block(uint32_t id, bool end_stream, std::string_view block) {
  if (alarms_.armed(Alarm::kHead)) alarms_.cancel(Alarm::kHead);
  if (H2Stream* s = work_->open.find(id)) {
    if (s->request_ended_) return fail(H2Error::kStreamClosed);
    return on_trailers_block(*s, end_stream, block);
  }
  switch (guard_.ids.headers_on(id)) {
    case H2Ids::Kind::kSkipped: return fail(H2Error::kProtocol);
    case H2Ids::Kind::kEnded: return fail(H2Error::kStreamClosed);
    case H2Ids::Kind::kUsed: break;
    case H2Ids::Kind::kNew:
      if (!goaway_sent_) return on_request_block(id, end_stream, block);
      break;
  }
  // On its way to a stream that we have ended, or will not begin: its fields matter to the tables only.
  if (end_stream && is_unended(id)) client_ended(id);
  read_failed(H2HeadReader::of_this_thread().nothing(decoded_, block, H2Guard::kMaxBlock));
}

bool H2Connection::read_failed(H2Read read) {
  if (read == H2Read::kBroken) fail(H2Error::kCompression);
  if (read == H2Read::kBomb) fail(H2Error::kEnhanceYourCalm);
  return read == H2Read::kBroken || read == H2Read::kBomb;
}

void H2Connection::on_request_block(uint32_t id, bool end_stream, std::string_view block) {
  last_id_ = id;
  H2HeadReader& reader = H2HeadReader::of_this_thread();
  const auto reset = [&](H2Error error) {
    h2_append_number(out(), H2Type::kRstStream, id, static_cast<uint32_t>(error));
    if (end_stream) guard_.ids.ended(id);
    charge_reset();
  };
  if (work_->open.count() >= std::max<size_t>(context_.options.max_streams, 1)) {
    if (!read_failed(reader.nothing(decoded_, block, H2Guard::kMaxBlock))) reset(H2Error::kRefusedStream);
    return;
  }
  RequestHead head;
  const H2Read read = reader.request(decoded_, block, H2Guard::kMaxBlock, !end_stream, head);
  if (read_failed(read)) return;
  if (read == H2Read::kMalformed) {
    ++context_.stats.bad_requests;
    return reset(H2Error::kProtocol);
  }
  H2Stream& s = open_stream(id);
  s.is_head_ = head.method == "HEAD";
  const std::optional<Refusal> refusal =
      read == H2Read::kRefused ? refusal_of(reader.status(), reader.problem()) : over_limit(head);
  if (!refusal) {
    s.length_ = head.content_length;
    return start_request(s, head, end_stream);
  }
  if (end_stream) request_ended(s, {});
  refuse(s, *refusal);
}

void H2Connection::on_trailers_block(H2Stream& s, bool end_stream, std::string_view block) {
  std::string_view lines;
  H2HeadReader& reader = H2HeadReader::of_this_thread();
  const H2Read read = reader.trailers(decoded_, block, H2Guard::kMaxBlock, lines);
  if (read_failed(read)) return;
  if (read == H2Read::kMalformed || !end_stream || (s.length_ && s.received_ != *s.length_)) {
    ++context_.stats.bad_requests;
    return reset_stream(s, H2Error::kProtocol);
  }
  if (read == H2Read::kGood || s.handler_ == nullptr) return request_ended(s, lines);
  s.request_ended_ = true;
  --work_->bodies;
  refuse(s, refusal_of(reader.status(), reader.problem()));
}

// ---- bodies ----

size_t H2Connection::begin_data(const H2FrameHead& head, std::string_view data) {
  const bool padded = head.has(h2_flag::kPadded);
  if (head.stream == 0 || (padded && head.length == 0)) {
    fail(H2Error::kProtocol);
    return 0;
  }
  if (padded && data.size() == kH2FrameHead) return 0;
  const size_t padding = padded ? static_cast<uint8_t>(data[kH2FrameHead]) : 0, before = padded ? 1 : 0;
  if (padding + before > head.length) {
    fail(H2Error::kProtocol);
    return 0;
  }
  H2Stream* s = work_->open.find(head.stream);
  if (s == nullptr && guard_.ids.used(head.stream) != H2Ids::Kind::kUsed) {
    fail(guard_.ids.used(head.stream) == H2Ids::Kind::kNew ? H2Error::kProtocol : H2Error::kStreamClosed);
    return 0;
  }
  if (s != nullptr && s->request_ended_) {
    fail(H2Error::kStreamClosed);
    return 0;
  }
  receive_window_ -= static_cast<int32_t>(head.length);
  if (receive_window_ < 0) {
    fail(H2Error::kFlowControl);
    return 0;
  }
  work_->data_stream = head.stream;
  work_->data_ends_stream = head.has(h2_flag::kEndStream);
  work_->data_left = head.length - padding - before;
  work_->padding_left = padding;
  work_->in_data = true;
  if (work_->data_left == 0 && !work_->data_ends_stream && !guard_.empty_data.take(context_.loop.now())) {
    terminate(H2Error::kEnhanceYourCalm);
    return 0;
  }
  if (s != nullptr) {
    s->receive_window_ -= head.length;
    if (s->receive_window_ < 0) {
      ++context_.stats.bad_requests;
      reset_stream(*s, H2Error::kFlowControl);
      s = nullptr;
    } else if (s->receive_window_ * 4 < stream_window_ && s->held_since_ == TimePoint::max()) {
      s->held_since_ = context_.loop.now();
    }
  }
  if (before + padding > 0) give_back(s, before + padding);
  return kH2FrameHead + before + take_data(data.substr(kH2FrameHead + before));
}

size_t H2Connection::take_data(std::string_view data) {
  const size_t n = std::min(data.size(), work_->data_left);
  if (n > 0) {
    work_->data_left -= n;
    H2Stream* s = work_->open.find(work_->data_stream);
    if (s != nullptr) {
      s->received_ += n;
      if (s->length_ && s->received_ > *s->length_) {
        ++context_.stats.bad_requests;
        reset_stream(*s, H2Error::kProtocol);
      } else if (s->handler_ != nullptr) {
        hold_to_body_limit(*s);
      }
    }
    if (s != nullptr && s->handler_ != nullptr && !s->closed_) {
      s->expecting_ = false;
      s->unconsumed_ += n;
      s->handler_->on_body(data.substr(0, n));
    } else {
      give_back(nullptr, n);
      if (is_unended(work_->data_stream)) {
        h2_append_number(out(), H2Type::kWindowUpdate, work_->data_stream, static_cast<uint32_t>(n));
      }
    }
  }
  const size_t padding = std::min(data.size() - n, work_->padding_left);
  work_->padding_left -= padding;
  if (work_->data_left == 0 && work_->padding_left == 0) end_data();
  return n + padding;
}

void H2Connection::end_data() {
  work_->in_data = false;
  if (!work_->data_ends_stream || ending_ || over_) return;
  H2Stream* s = work_->open.find(work_->data_stream);
  if (s == nullptr) {
    client_ended(work_->data_stream);
  } else if (s->length_ && s->received_ != *s->length_) {
    ++context_.stats.bad_requests;
    reset_stream(*s, H2Error::kProtocol);
  } else {
    request_ended(*s, {});
  }
}

// ---- the others ----

void H2Connection::on_reset(const H2FrameHead& head, std::string_view payload) {
  if (head.stream == 0) return fail(H2Error::kProtocol);
  if (payload.size() != 4) return fail(H2Error::kFrameSize);
  if (guard_.ids.used(head.stream) == H2Ids::Kind::kNew) return fail(H2Error::kProtocol);
  client_ended(head.stream);
  if (H2Stream* s = work_->open.find(head.stream)) close_stream(*s);
}

void H2Connection::on_window_update(const H2FrameHead& head, std::string_view payload) {
  if (payload.size() != 4) return fail(H2Error::kFrameSize);
  const int64_t n = h2_read32(payload.data()) & 0x7fffffff;
  if (head.stream == 0) {
    if (n == 0) return fail(H2Error::kProtocol);
    if (n > int64_t{kH2MaxWindow} - send_window_) return fail(H2Error::kFlowControl);
    send_window_ += static_cast<int32_t>(n);
    return;
  }
  H2Stream* s = work_->open.find(head.stream);
  if (s == nullptr) {
    if (guard_.ids.used(head.stream) == H2Ids::Kind::kNew) fail(H2Error::kProtocol);
    return;
  }
  s->window_ += n;
  if (n == 0 || s->window_ > kH2MaxWindow) {
    ++context_.stats.bad_requests;
    return reset_stream(*s, n == 0 ? H2Error::kProtocol : H2Error::kFlowControl);
  }
  if (s->sendable()) queue(*s);
}

void H2Connection::on_settings(const H2FrameHead& head, std::string_view payload) {
  if (head.stream != 0) return fail(H2Error::kProtocol);
  if (payload.size() % 6 != 0 || (head.has(h2_flag::kAck) && !payload.empty())) return fail(H2Error::kFrameSize);
  if (head.has(h2_flag::kAck)) {
    if (std::exchange(acknowledged_, true)) return;
    const int32_t change = window_size() - stream_window_;
    stream_window_ = window_size();
    for (H2Stream* s = work_->streams; s != nullptr; s = s->next_) s->receive_window_ += change;
    return;
  }
  for (; !payload.empty(); payload.remove_prefix(6)) {
    const auto name = static_cast<uint16_t>(static_cast<uint8_t>(payload[0]) << 8 | static_cast<uint8_t>(payload[1]));
    if (!on_setting(name, h2_read32(payload.data() + 2))) return;
  }
  if (!std::exchange(greeted_, true)) alarms_.cancel(Alarm::kHead);
  h2_append_head(out(), 0, H2Type::kSettings, h2_flag::kAck, 0);
}

bool H2Connection::on_setting(uint16_t name, uint32_t value) {
  H2Error error = H2Error::kNoError;
  switch (name) {
    case number(H2Setting::kHeaderTableSize): encoder_.set_limit(value); break;
    case number(H2Setting::kInitialWindow): {
      if (value > kH2MaxWindow) {
        error = H2Error::kFlowControl;
        break;
      }
      const int64_t change = int64_t{value} - initial_window_;
      initial_window_ = static_cast<int32_t>(value);
      for (H2Stream* s = work_->streams; s != nullptr; s = s->next_) {
        s->window_ += change;
        if (s->window_ > kH2MaxWindow) error = H2Error::kFlowControl;
        if (s->sendable()) queue(*s);
      }
      break;
    }
    case number(H2Setting::kMaxFrame):
      if (value < kH2MaxFrame || value > 0xffffff) error = H2Error::kProtocol;
      break;
    case number(H2Setting::kEnablePush):
    case number(H2Setting::kConnectProtocol):
    case number(H2Setting::kNoPriorities):
      if (value > 1) error = H2Error::kProtocol;
      break;
    default: break;
  }
  if (error != H2Error::kNoError) fail(error);
  return error == H2Error::kNoError;
}

}  // namespace colony::http
