// What nghttp2 reports of a connection to a backend. Runs inside nghttp2: only submits, never pulls. A reply's head becomes
// the text of HTTP/1.1 and is parsed strictly, as one from any other carrier.
#include <fmt/format.h>
#include <nghttp2/nghttp2.h>

#include <algorithm>

#include "base/check.h"
#include "transport/backend/h2_link.h"
#include "transport/http/h2_head.h"

namespace colony::backend {

struct H2WireCallbacks {
  static H2Wire& self(void* user) { return *static_cast<H2Wire*>(user); }
  static H2Call* call_of(nghttp2_session* session, int32_t id) {
    return static_cast<H2Call*>(nghttp2_session_get_stream_user_data(session, id));
  }
  static std::string_view view(const uint8_t* p, size_t n) { return {reinterpret_cast<const char*>(p), n}; }

  static void bad_reply(H2Wire& wire, H2Call& call, std::string_view why) {
    wire.link_.doom(call, wire.link_.error(fmt::format("sent a malformed reply: {}", why), "bad_reply", Retry::kNo));
  }

  static int on_begin_headers(nghttp2_session* session, const nghttp2_frame* frame, void*) {
    if (H2Call* c = call_of(session, frame->hd.stream_id); c != nullptr && !c->replied) c->head.clear();
    return 0;
  }

  static int on_header(nghttp2_session* session, const nghttp2_frame* frame, const uint8_t* name, size_t name_size,
                       const uint8_t* value, size_t value_size, uint8_t, void* user) {
    H2Call* c = call_of(session, frame->hd.stream_id);
    if (c == nullptr) return 0;
    const std::string_view n = view(name, name_size), v = view(value, value_size);
    if (c->head.size() + c->reply_trailers.size() + n.size() + v.size() > http::kMaxHeadBytes) {
      bad_reply(self(user), *c, "its fields are larger than 64 KiB");
    } else if (c->replied) {
      http::append_trailer(c->reply_trailers, n, v);
    } else if (n == ":status") {
      c->head.append("HTTP/1.1 ").append(v).append(" \r\n");
    } else {
      c->head.append(n).append(": ").append(v).append("\r\n");
    }
    return 0;
  }

  // nghttp2 would drop the field and go on; what somebody may read differently is not passed on.
  static int on_invalid_header(nghttp2_session* session, const nghttp2_frame* frame, const uint8_t*, size_t,
                               const uint8_t*, size_t, uint8_t, void* user) {
    if (H2Call* c = call_of(session, frame->hd.stream_id)) bad_reply(self(user), *c, "an invalid field");
    return 0;
  }

  // The reply is whole: the call is free before its handler hears of it. What is left of the request is of no use.
  static frame::CallHandler& finish(H2Wire& wire, H2Call& call) {
    wire.forget(call, !call.ended || call.buffered() > 0);
    return wire.link_.release(call);
  }

  static void take_headers(H2Wire& wire, H2Call& call, bool end) {
    if (call.replied) {
      if (!end) return;
      const std::string trailers = std::move(call.reply_trailers);
      finish(wire, call).on_end(trailers);
      return;
    }
    const std::string text = std::move(call.head) + "\r\n";
    call.head.clear();
    http::ReplyHead head;
    http::ParseError error;
    if (http::parse_reply_head(text, head, error) != http::ParseState::kComplete)
      return bad_reply(wire, call, error.message);
    const std::string_view no_body = std::string_view(text).substr(text.size());
    if (head.status < 200) {
      call.interim += text.size();
      if (end || head.status == 101 || head.content_length)
        return bad_reply(wire, call, "an interim reply that is none");
      if (call.interim > http::kMaxHeadBytes)
        return bad_reply(wire, call, "its interim replies are larger than 64 KiB together");
      return call.handler->on_reply(head, no_body, false);
    }
    call.replied = true;
    if (end)
      finish(wire, call).on_reply(head, no_body, true);
    else
      call.handler->on_reply(head, no_body, false);
  }

  static int on_frame_recv(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
    H2Wire& wire = self(user);
    const bool end = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    switch (frame->hd.type) {
      case NGHTTP2_SETTINGS:
        if ((frame->hd.flags & NGHTTP2_FLAG_ACK) != 0) return 0;
        wire.max_streams_ = std::min<size_t>(
            nghttp2_session_get_remote_settings(session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS), H2Link::kMaxStreams);
        if (std::exchange(wire.greeted_, true)) return 0;
        wire.greet_.cancel();
        wire.link_.greeted();
        return 0;
      case NGHTTP2_GOAWAY: wire.goaway_ = true; return 0;
      case NGHTTP2_RST_STREAM:
        if (H2Call* c = call_of(session, frame->hd.stream_id)) c->reset = true;
        return 0;
      case NGHTTP2_HEADERS:
        if (H2Call* c = call_of(session, frame->hd.stream_id)) take_headers(wire, *c, end);
        return 0;
      case NGHTTP2_DATA:
        if (H2Call* c = end ? call_of(session, frame->hd.stream_id) : nullptr; c != nullptr && c->replied)
          finish(wire, *c).on_end({});
        return 0;
      default: return 0;
    }
  }

  static int on_data(nghttp2_session* session, uint8_t, int32_t id, const uint8_t* data, size_t size, void*) {
    H2Call* c = call_of(session, id);
    if (c == nullptr || !c->replied) {
      nghttp2_session_consume(session, id, size);
      return 0;
    }
    c->unconsumed += size;
    c->handler->on_body(view(data, size), false);
    return 0;
  }

  // What the library of ours refuses of a reply ends its stream with one of these.
  static bool blames_the_peer(uint32_t code) {
    return code == NGHTTP2_PROTOCOL_ERROR || code == NGHTTP2_FLOW_CONTROL_ERROR || code == NGHTTP2_STREAM_CLOSED ||
           code == NGHTTP2_FRAME_SIZE_ERROR;
  }

  static int on_stream_close(nghttp2_session* session, int32_t id, uint32_t code, void* user) {
    H2Wire& wire = self(user);
    H2Call* c = call_of(session, id);
    --wire.open_;
    wire.link_.mark_dirty();
    if (c == nullptr || c->wire != &wire || c->stream != id) return 0;
    wire.forget(*c, false);
    c->wire = nullptr;
    if (code == NGHTTP2_REFUSED_STREAM && wire.goaway_) {  // as nghttp2 tells it of what came after the goodbye
      wire.link_.stale_ = true;
      wire.link_.doom(*c, wire.link_.error("said goodbye before it took the call", "link_broken", Retry::kYes));
      return 0;
    }
    if (!c->reset && blames_the_peer(code)) {
      bad_reply(wire, *c, fmt::format("against HTTP/2's rules ({})", nghttp2_http2_strerror(code)));
      return 0;
    }
    Error why = wire.link_.error(fmt::format("reset the call ({})", nghttp2_http2_strerror(code)),
                                 std::string(c->replied ? "reply_cut" : kReset), Retry::kNo);
    switch (code) {  // as gRPC maps them
      case NGHTTP2_REFUSED_STREAM:
        why.retry = Retry::kYes;  // it has not begun
        break;
      case NGHTTP2_CANCEL: why.code = Code::kCancelled; break;
      case NGHTTP2_ENHANCE_YOUR_CALM: why.code = Code::kResourceExhausted; break;
      case NGHTTP2_INADEQUATE_SECURITY: why.code = Code::kPermissionDenied; break;
      default: why.code = Code::kInternal; break;
    }
    wire.link_.doom(*c, std::move(why));
    return 0;
  }

  static int send_data(nghttp2_session*, nghttp2_frame*, const uint8_t* header, size_t size,
                       nghttp2_data_source* source, void* user) {
    H2Wire& wire = self(user);
    auto& c = *static_cast<H2Call*>(source->ptr);
    wire.out_.append(reinterpret_cast<const char*>(header), 9);
    wire.out_.append(c.body, c.sent, size);
    c.sent += size;
    if (c.sent == c.body.size()) {
      c.body.clear();
      c.sent = 0;
    }
    if (c.wants_room && static_cast<int64_t>(c.buffered()) <= H2Link::kRequestWindow / 2) {
      c.wants_room = false;
      wire.roomy_.push_back(&c);
    }
    return 0;
  }

  static nghttp2_session_callbacks* make() {
    nghttp2_session_callbacks* cb = nullptr;
    CHECK(nghttp2_session_callbacks_new(&cb) == 0);
    nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
    nghttp2_session_callbacks_set_on_invalid_header_callback(cb, on_invalid_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame_recv);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
    nghttp2_session_callbacks_set_send_data_callback(cb, send_data);
    return cb;
  }
};

nghttp2_session* new_client_session(H2Wire& wire) {
  static nghttp2_session_callbacks* const callbacks = H2WireCallbacks::make();
  static nghttp2_option* const options = [] {
    nghttp2_option* o = nullptr;
    CHECK(nghttp2_option_new(&o) == 0);
    nghttp2_option_set_no_auto_window_update(o, 1);
    nghttp2_option_set_no_closed_streams(o, 1);
    nghttp2_option_set_max_outbound_ack(o, 1000);
    nghttp2_option_set_max_send_header_block_length(o, http::kMaxInnerHeadBytes);
    return o;
  }();
  nghttp2_session* session = nullptr;
  CHECK(nghttp2_session_client_new2(&session, callbacks, &wire, options) == 0);
  const nghttp2_settings_entry entries[] = {
      {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, static_cast<uint32_t>(H2Link::kWindow)},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, static_cast<uint32_t>(http::kMaxHeadBytes)},
  };
  CHECK(nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, entries, std::size(entries)) == 0);
  // Room for every stream's whole window: a call that nobody reads cannot take the others' share.
  constexpr auto kWhole = static_cast<int32_t>(H2Link::kWindow * (H2Link::kMaxStreams + 1));
  CHECK(nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0, kWhole) == 0);
  return session;
}

}  // namespace colony::backend
