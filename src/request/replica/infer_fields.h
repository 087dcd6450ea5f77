// How the body of an inference and its answer are coded, by the request's fields.
#pragma once

#include "request/replica/infer_call.h"

namespace colony::replica {

// Sets the codings of `question`, and of a JSON form the length of its JSON (0: the body is one raw tensor). Refused:
// several or unknown codings (reason "content_encoding", which refuse() answers with 415), a length that is no number.
Result<void> read_infer_fields(const http::RequestHead& head, InferQuestion& question);

}  // namespace colony::replica
