// Raw HTTP to a deployment: an echo deployment streams the body back, and the messages of a WebSocket; a deployment with a transform turns the body into
// tensors and the model's answer into bytes; any other speaks the Open Inference Protocol only and says so.
#pragma once

#include "request/replica/core.h"
#include "transport/http/exchange.h"

namespace colony::replica {

bool answers_raw(const Core& core);  // does this deployment take raw HTTP at all?
http::ExchangeHandler* serve_raw(Core& core, http::Exchange& exchange, const http::RequestHead& head);

}  // namespace colony::replica
