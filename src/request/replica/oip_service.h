// The Open Inference Protocol over HTTP at a replica: /v2..., /v1/models... docs/inference.md lists the paths.
#pragma once

#include <optional>
#include <string>

#include "request/replica/core.h"
#include "transport/http/exchange.h"

namespace colony::replica {

struct OipPath {
  enum class What : uint8_t {
    kServer,
    kLive,
    kReady,
    kModels,
    kAllStats,
    kIndex,
    kLoadUnload,
    kModel,
    kV1Models,
    kUnknown
  };
  What what = What::kUnknown;
  std::string model, version;
  std::string_view action;  // of kModel: "" (metadata), ready, config, stats, infer, v1 (readiness), predict
};

// nullopt: not a path of the protocol. kUnknown: within /v2 or /v1/models, but nothing there.
std::optional<OipPath> parse_oip_path(std::string_view path);

// Answers, or makes the handler of an inference.
http::ExchangeHandler* serve_oip(Core& core, http::Exchange& exchange, const http::RequestHead& head,
                                 const OipPath& path);

// Used by gRPC too.
bool is_live(const Core& core);
bool is_ready(const Core& core);
std::vector<runtime::oip::IndexEntry> model_index(const Core& core);
std::vector<runtime::oip::ModelStatistics> model_statistics(const Core& core, const LoadedModel* only);

}  // namespace colony::replica
