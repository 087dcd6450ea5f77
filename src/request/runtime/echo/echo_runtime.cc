// Outputs are the inputs, or share their memory: an echo copies nothing.
#include "request/runtime/echo/echo_runtime.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <thread>

namespace colony::runtime::echo {
namespace {

using std::chrono::steady_clock;

constexpr int64_t kMaxDelayMs = 60'000;
constexpr size_t kShownNames = 400;                    // bytes of them in an error
constexpr auto kSlice = std::chrono::milliseconds(1);  // how late a cancelled delay may notice it

// What happens before a request with this input is answered: the thread is given away, or keeps a core busy.
struct Delay {
  std::string input;
  std::chrono::milliseconds time{0};
  bool spin = false;

  // On a pool thread; ends early when the request is cancelled.
  void pass(const CancelFlag* cancel) const {
    const auto end = steady_clock::now() + time;
    for (auto now = steady_clock::now(); now < end && !(cancel && cancel->cancelled()); now = steady_clock::now())
      if (!spin) std::this_thread::sleep_for(std::min<steady_clock::duration>(kSlice, end - now));
  }
};

// user_config is any JSON; of an echo deployment only `slow` means something.
Result<std::vector<Delay>> read_delays(const std::string& user_config) {
  std::vector<Delay> delays;
  const auto config = nlohmann::json::parse(user_config, nullptr, false);
  if (!config.is_object() || !config.contains("slow")) return delays;
  if (!config["slow"].is_object())
    return fail(invalid_argument("user_config.slow: {INPUT: {sleep_ms: N}} or {INPUT: {spin_ms: N}}"));
  for (const auto& [input, how] : config["slow"].items()) {
    const std::string field = fmt::format("user_config.slow.{}", input);
    if (!how.is_object() || how.size() != 1 || !(how.contains("sleep_ms") || how.contains("spin_ms")))
      return fail(invalid_argument(fmt::format("{}: {}; {{sleep_ms: N}} or {{spin_ms: N}}", field, how.dump())));
    const auto& number = how.begin().value();
    if (!number.is_number_integer() || number.get<int64_t>() < 0 || number.get<int64_t>() > kMaxDelayMs)
      return fail(invalid_argument(
          fmt::format("{}.{}: {}; a whole number, 0 to {}", field, how.begin().key(), number.dump(), kMaxDelayMs)));
    delays.push_back({input, std::chrono::milliseconds(number.get<int64_t>()), how.contains("spin_ms")});
  }
  return delays;
}

// The first of each name. Of a few tensors the list itself is the index; this runs on the loop, where thousands must not be
// compared with thousands.
class TensorIndex {
 public:
  explicit TensorIndex(const std::vector<Tensor>& tensors) : tensors_(tensors) {
    if (tensors.size() <= kFew) return;
    for (const auto& t : tensors) by_name_.push_back(&t);
    std::ranges::sort(by_name_, [](const Tensor* a, const Tensor* b) {
      const int order = a->name.compare(b->name);
      return order != 0 ? order < 0 : a < b;
    });
  }
  const Tensor* find(std::string_view name) const {
    if (tensors_.size() <= kFew) {
      const auto it = std::ranges::find(tensors_, name, &Tensor::name);
      return it == tensors_.end() ? nullptr : &*it;
    }
    const auto it = std::ranges::lower_bound(by_name_, name, {}, &Tensor::name);
    return it == by_name_.end() || (*it)->name != name ? nullptr : *it;
  }

 private:
  static constexpr size_t kFew = 8;
  const std::vector<Tensor>& tensors_;
  std::vector<const Tensor*> by_name_;
};

class EchoModel final : public Model {
 public:
  EchoModel(std::string name, std::string version, std::vector<Delay> delays) : delays_(std::move(delays)) {
    info_.name = std::move(name);
    info_.version = std::move(version);
    info_.platform = "colony_echo";
    info_.any_tensor = true;
    // Clients that ask for the metadata first (perf_analyzer) find one tensor that they can use.
    info_.inputs = {{"INPUT0", DataType::kFp32, {-1}}};
    info_.outputs = {{"INPUT0", DataType::kFp32, {-1}}};
  }

  const ModelInfo& info() const override { return info_; }
  bool cheap() const override { return delays_.empty(); }

  Result<InferReply> infer(InferRequest&& request) override {
    for (const auto& delay : delays_)
      if (std::ranges::find(request.inputs, delay.input, &Tensor::name) != request.inputs.end())
        delay.pass(request.cancel.get());
    InferReply reply{info_.name, info_.version, {}};
    if (request.outputs.empty()) {
      reply.outputs = std::move(request.inputs);
    } else {
      const TensorIndex index(request.inputs);
      for (const auto& wanted : request.outputs) {
        const Tensor* const tensor = index.find(wanted);
        if (!tensor) return fail(unknown_output(wanted, request));
        reply.outputs.push_back(*tensor);
      }
    }
    for (auto& t : reply.outputs)
      if (!t.owner) t.owner = request.storage;
    return reply;
  }

 private:
  Error unknown_output(std::string_view wanted, const InferRequest& request) const {
    std::string names;
    for (const auto& t : request.inputs) {
      if (names.size() > kShownNames) break;
      names += (names.empty() ? "" : ", ") + brief(t.name);
    }
    return invalid_argument(
        fmt::format("output '{}' is not among the tensors of this request; model '{}' gives its inputs "
                    "back, here: {}",
                    brief(wanted), info_.name, names.empty() ? "none" : brief(names, kShownNames)));
  }

  ModelInfo info_;
  std::vector<Delay> delays_;
};

}  // namespace

Result<std::shared_ptr<Model>> EchoRuntime::load(const ModelSpec& spec, const std::string& name,
                                                 const std::string& user_config) {
  TRY(auto delays, read_delays(user_config));
  return std::make_shared<EchoModel>(name, spec.version.empty() ? "1" : spec.version, std::move(delays));
}

}  // namespace colony::runtime::echo
