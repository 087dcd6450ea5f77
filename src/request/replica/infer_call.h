// An inference over HTTP or a frame link: collects the body under a bound, gives it to the inbox, writes the answer.
#pragma once

#include <memory>

#include "request/replica/call.h"
#include "request/replica/infer_job.h"

namespace colony::replica {

struct InferQuestion {
  InferForm form = InferForm::kJson;
  LoadedModel* model = nullptr;
  std::optional<uint64_t> json_length;
  compress::Coding coding = compress::Coding::kIdentity;        // of the body
  compress::Coding reply_coding = compress::Coding::kIdentity;  // that the client likes best
};

// Makes the handler; it deletes itself in on_done. The core's table is loaded.
http::ExchangeHandler* serve_infer(Core& core, http::Exchange& exchange, const http::RequestHead& head,
                                   const InferQuestion& question);

}  // namespace colony::replica
