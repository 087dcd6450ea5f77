// A reply whose head its service has put together itself, so that nobody has to read it again: on the frame link, where the
// bytes travel as they are, that is a sixth of a small answer.
#pragma once

#include <cstdint>
#include <optional>

#include "transport/http/exchange.h"

namespace colony::http {

// `block`: a whole head of this status (200 or above), without hop-by-hop fields, every value grammatical, and with
// `content_length` in it or not. What comes from outside must have passed a parser. The rest is Exchange::reply().
inline void reply_made(Exchange& exchange, int status, std::string_view block, std::optional<uint64_t> content_length,
                       std::string_view body, More more) {
  if (exchange.carrier() != Carrier::kFrame) return exchange.reply(block, body, more);
  ReplyHead head;  // no field is listed: the frame link looks for none
  head.block = block;
  head.status = status;
  head.content_length = content_length;
  exchange.reply(head, body, more);
}

}  // namespace colony::http
