// What every data request of a replica carries from its head to its answer: the ids that are echoed and logged, and the
// way answers are written.
#pragma once

#include <string>
#include <string_view>

#include "base/text.h"
#include "request/replica/core.h"
#include "transport/http/exchange.h"

namespace colony::replica {

// The lines by which an answer carries the ids of its request: x-request-id and traceparent from the head; a request id is
// made where none came.
void append_id_lines(Text& to, Core& core, const http::RequestHead& head);

// These lines, kept.
class RequestIds {
 public:
  RequestIds(Core& core, const http::RequestHead& head);
  std::string_view lines() const { return lines_; }  // "x-request-id: ...\r\ntraceparent: ...\r\n"

 private:
  ShortText<160> lines_;  // an id and a trace context of usual length
};

// http::reply_error() with a status that the error's code does not have: 405, 413, 415, 426.
void reply_error_as(http::Exchange& exchange, int status, const Error& error, std::string_view lines);

// One line per request at debug level, and one at warn level for an error that is ours.
void log_access(std::string_view id_lines, std::string_view what, int status, Duration took, const Error* error);
inline void log_access(const RequestIds& ids, std::string_view what, int status, Duration took, const Error* error) {
  log_access(ids.lines(), what, status, took, error);
}

// A request that is answered already: swallows its body.
class AnsweredCall final : public http::ExchangeHandler {
 public:
  explicit AnsweredCall(http::Exchange& exchange) : exchange_(exchange) {}
  void on_body(std::string_view data) override { exchange_.consumed(data.size()); }
  void on_end(std::string_view) override {}
  void on_done(bool) override { delete this; }

 private:
  http::Exchange& exchange_;
};

// Answers with the error; 415 where the body's coding is none that is known.
http::ExchangeHandler* refuse(Core& core, http::Exchange& exchange, const http::RequestHead& head, const Error& error);

}  // namespace colony::replica
