// Paths are split once; every document is made anew, which costs microseconds and is rare.
#include "request/replica/oip_service.h"

#include <fmt/format.h>

#include <array>

#include "request/replica/call.h"
#include "request/replica/infer_call.h"
#include "request/replica/infer_fields.h"

namespace colony::replica {
namespace {

namespace oip = runtime::oip;
using What = OipPath::What;

// The parts between slashes; a path with more than the protocol has is cut, and then matches nothing.
class Segments {
 public:
  explicit Segments(std::string_view path) {
    while (!path.empty() && size_ < parts_.size()) {
      path.remove_prefix(1);  // '/'
      const size_t end = path.find('/');
      parts_[size_++] = path.substr(0, end);
      path = end == path.npos ? std::string_view() : path.substr(end);
    }
    if (size_ > 0 && parts_[size_ - 1].empty()) --size_;
  }
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  std::string_view operator[](size_t i) const { return parts_[i]; }

 private:
  std::array<std::string_view, 8> parts_;
  size_t size_ = 0;
};

// Empty: none of the protocol's.
std::string_view known_action(std::string_view a) {
  for (const std::string_view known : {"ready", "config", "stats", "infer"})
    if (a == known) return known;
  return {};
}

OipPath v1_path(const Segments& s) {
  OipPath out;
  if (s.size() == 2) {
    out.what = What::kV1Models;
  } else if (s.size() == 3) {
    const auto decoded = http::percent_decode(s[2]);
    if (!decoded) return out;
    out.what = What::kModel;
    out.model = *decoded;
    out.action = "v1";
    if (const size_t colon = out.model.rfind(':'); colon != out.model.npos) {
      out.action = "predict";
      if (std::string_view(out.model).substr(colon + 1) != out.action) out.what = What::kUnknown;
      out.model.resize(colon);
    }
  }
  return out;
}

// /v2/models/NAME/infer, of which there are many: spelled as the protocol spells it.
std::optional<OipPath> infer_path(std::string_view path) {
  constexpr std::string_view kBefore = "/v2/models/", kAfter = "/infer";
  if (path.size() <= kBefore.size() + kAfter.size() || !path.starts_with(kBefore) || !path.ends_with(kAfter))
    return std::nullopt;
  const auto name = path.substr(kBefore.size(), path.size() - kBefore.size() - kAfter.size());
  if (name.find_first_of("/%") != name.npos) return std::nullopt;
  OipPath out;
  out.what = What::kModel;
  out.model = name;
  out.action = "infer";
  return out;
}

OipPath model_path(const Segments& s) {
  OipPath out;
  const auto model = http::percent_decode(s[2]);
  if (!model) return out;
  out.model = *model;
  size_t at = 3;
  if (s.size() > at + 1 && s[at] == "versions") {
    const auto version = http::percent_decode(s[at + 1]);
    if (!version) return out;
    out.version = *version;
    at += 2;
  }
  if (s.size() == at) {
    out.what = What::kModel;
  } else if (s.size() == at + 1 && !known_action(s[at]).empty()) {
    out.what = What::kModel;
    out.action = known_action(s[at]);
  }
  return out;
}

// One request that is answered at once.
class Answer {
 public:
  Answer(Core& core, http::Exchange& exchange, const http::RequestHead& head)
      : core_(core), exchange_(exchange), head_(head) {}

  http::ExchangeHandler* json(std::string_view body) { return status(200, body); }
  http::ExchangeHandler* status(int code, std::string_view body) {
    const RequestIds ids(core_, head_);
    http::reply_with(exchange_, code, body.empty() ? "" : "application/json", body, ids.lines());
    return done(ids, code);
  }
  http::ExchangeHandler* error(const Error& e) { return refuse(core_, exchange_, head_, e); }
  http::ExchangeHandler* wrong_method(std::string_view right) {
    const Error e = invalid_argument(fmt::format("{} {}: only {} is answered here", head_.method, head_.path, right),
                                     "wrong_method");
    const RequestIds ids(core_, head_);
    reply_error_as(exchange_, 405, e, fmt::format("allow: {}\r\n{}", right, ids.lines()));
    return done(ids, 405);
  }

 private:
  http::ExchangeHandler* done(const RequestIds& ids, int code) {
    log_access(ids, head_.path, code, Duration::zero(), nullptr);
    return new AnsweredCall(exchange_);
  }

  Core& core_;
  http::Exchange& exchange_;
  const http::RequestHead& head_;
};

http::ExchangeHandler* infer(Core& core, http::Exchange& exchange, const http::RequestHead& head, const OipPath& path,
                             LoadedModel* model) {
  InferQuestion question{.form = path.action == "predict" ? InferForm::kPredict : InferForm::kJson, .model = model};
  if (auto read = read_infer_fields(head, question); !read) return Answer(core, exchange, head).error(read.error());
  return serve_infer(core, exchange, head, question);
}

http::ExchangeHandler* about_model(Core& core, http::Exchange& exchange, const http::RequestHead& head,
                                   const OipPath& path) {
  const bool inference = path.action == "infer" || path.action == "predict";
  const bool get = head.method == "GET" || head.method == "HEAD";
  Answer answer(core, exchange, head);
  if (inference && head.method != "POST") return answer.wrong_method("POST");
  if (!inference && !get) return answer.wrong_method("GET");
  if (auto ok = core.servable(); !ok) return answer.error(ok.error());
  const auto model = core.table->get(path.model, path.version);
  if (!model) return answer.error(model.error());
  const auto& info = (*model)->model->info();
  if (inference) return infer(core, exchange, head, path, *model);
  if (path.action == "ready") return answer.status(is_ready(core) ? 200 : 503, "");
  if (path.action == "config") return answer.json(oip::config_json(info, core.spec.max_ongoing_requests));
  if (path.action == "stats") return answer.json(oip::statistics_json(model_statistics(core, *model)));
  if (path.action == "v1") return answer.json(oip::model_ready_json(info, is_ready(core)));
  return answer.json(oip::model_json(info));
}

}  // namespace

std::optional<OipPath> parse_oip_path(std::string_view path) {
  if (!path.starts_with("/v")) return std::nullopt;
  if (auto usual = infer_path(path)) return usual;
  const Segments s(path);
  OipPath out;
  if (s.size() >= 2 && s[0] == "v1" && s[1] == "models") return v1_path(s);
  if (s.empty() || s[0] != "v2") return std::nullopt;
  if (s.size() == 1) {
    out.what = What::kServer;
  } else if (s[1] == "health" && s.size() == 3) {
    out.what = s[2] == "live" ? What::kLive : s[2] == "ready" ? What::kReady : What::kUnknown;
  } else if (s[1] == "models" && s.size() == 2) {
    out.what = What::kModels;
  } else if (s[1] == "models" && s.size() == 3 && s[2] == "stats") {
    out.what = What::kAllStats;
  } else if (s[1] == "models") {
    return model_path(s);
  } else if (s[1] == "repository" && s.size() == 3 && s[2] == "index") {
    out.what = What::kIndex;
  } else if (s[1] == "repository" && s.size() == 5 && s[2] == "models" && (s[4] == "load" || s[4] == "unload")) {
    out.what = What::kLoadUnload;
  }
  return out;
}

bool is_live(const Core& core) { return !core.stuck(); }
bool is_ready(const Core& core) { return core.lifecycle.state() == ReplicaState::kReady && !core.stuck(); }

std::vector<oip::IndexEntry> model_index(const Core& core) {
  std::vector<oip::IndexEntry> out;
  if (!core.table) return out;
  for (const auto& m : core.table->models) {
    const auto& info = m->model->info();
    out.push_back({info.name, info.version, is_ready(core) ? "READY" : "UNAVAILABLE",
                   is_ready(core) ? "" : std::string(to_string(core.lifecycle.state()))});
  }
  return out;
}

std::vector<oip::ModelStatistics> model_statistics(const Core& core, const LoadedModel* only) {
  std::vector<oip::ModelStatistics> out;
  if (!core.table) return out;
  for (const auto& m : core.table->models) {
    if (only && m.get() != only) continue;
    out.push_back(m->statistics);
    if (m->last_inference == TimePoint::min()) continue;
    const auto at = core.loop.wall_now() - (core.loop.now() - m->last_inference);
    out.back().last_inference_ms = static_cast<uint64_t>(to_ms(at.time_since_epoch()));
  }
  return out;
}

http::ExchangeHandler* serve_oip(Core& core, http::Exchange& exchange, const http::RequestHead& head,
                                 const OipPath& path) {
  if (path.what == What::kModel) return about_model(core, exchange, head, path);
  Answer answer(core, exchange, head);
  const bool get = head.method == "GET" || head.method == "HEAD";
  if (path.what == What::kIndex) {
    if (head.method != "POST") return answer.wrong_method("POST");
    return answer.json(oip::index_json(model_index(core)));
  }
  if (path.what == What::kUnknown)
    return answer.error(
        not_found(fmt::format("{} is no path of the Open Inference Protocol; there are: /v2, /v2/health/live, "
                              "/v2/health/ready, /v2/models, /v2/models/MODEL[/versions/VERSION]"
                              "[/infer|/ready|/config|/stats], /v2/repository/index, /v1/models, "
                              "/v1/models/MODEL:predict",
                              head.path)));
  if (path.what == What::kLoadUnload)
    return answer.error(
        unimplemented("models are loaded and unloaded by applying the application's spec, not here", "use_apply"));
  if (!get) return answer.wrong_method("GET");
  switch (path.what) {
    case What::kServer: return answer.json(oip::server_json());
    case What::kLive: return answer.status(is_live(core) ? 200 : 503, "");
    case What::kReady: return answer.status(is_ready(core) ? 200 : 503, "");
    case What::kAllStats: return answer.json(oip::statistics_json(model_statistics(core, nullptr)));
    default: return answer.json(oip::model_list_json(model_index(core)));
  }
}

}  // namespace colony::replica
