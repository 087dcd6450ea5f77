// See admission.h. Ids become folder names and environment names become lines of a process's environment, so both are
// checked here, once, for every adapter.
#include "engine/admission.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace colony::engine {
namespace {

bool id_char(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-'; }
bool env_char(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_'; }

Result<void> check_quantity(double value, std::string_view name) {
  if (std::isfinite(value) && value >= 0 && value <= 1e6) return {};
  return fail(invalid_argument(fmt::format("resources.{} is {}: it must be from 0 to 1000000", name, value)));
}

}  // namespace

Result<void> check_id(std::string_view id, std::string_view what) {
  if (id.empty()) return fail(invalid_argument(fmt::format("{} is empty", what)));
  if (id.size() > kMaxIdBytes) {
    return fail(invalid_argument(fmt::format("{} has {} bytes: the most is {}", what, id.size(), kMaxIdBytes)));
  }
  if (id.front() == '.' || !std::ranges::all_of(id, id_char)) {
    return fail(invalid_argument(
        fmt::format("{} '{}' may hold only a-z, 0-9, '.', '_' and '-', and may not start with '.'", what, id)));
  }
  return {};
}

Result<void> check_spec(const ActorSpec& spec) {
  TRY_VOID(check_id(spec.id));
  TRY_VOID(check_id(spec.role, "role"));
  if (spec.payload.size() > kMaxPayloadBytes) {
    return fail(invalid_argument(
        fmt::format("the payload of {} has {} bytes: the most is {}", spec.id, spec.payload.size(), kMaxPayloadBytes)));
  }
  size_t environment = 0, labels = 0;
  for (const auto& [name, value] : spec.env) {
    environment += name.size() + value.size() + 2;
    if (name.empty() || !std::ranges::all_of(name, env_char) || value.find('\0') != std::string::npos) {
      return fail(
          invalid_argument(fmt::format("env '{}': a name holds letters, digits and '_', a value no NUL", name)));
    }
  }
  for (const auto& [name, value] : spec.labels) labels += name.size() + value.size();
  if (std::max(environment, labels) > kMaxEnvironmentBytes) {
    return fail(
        invalid_argument(fmt::format("env or labels of {} have more than {} bytes", spec.id, kMaxEnvironmentBytes)));
  }
  TRY_VOID(check_quantity(spec.resources.num_cpus, "num_cpus"));
  TRY_VOID(check_quantity(spec.resources.num_gpus, "num_gpus"));
  for (const auto& [name, value] : spec.resources.resources) TRY_VOID(check_quantity(value, name));
  return {};
}

Result<Fences::Admitted> Fences::admit(const Fence& fence) {
  TRY_VOID(check_id(fence.owner, "the fence's owner"));
  uint64_t& highest = highest_[fence.owner];
  if (fence.epoch < highest) {
    return fail(failed_precondition(
        fmt::format("epoch {} of '{}' is over: {} has been seen", fence.epoch, fence.owner, highest), "stale_epoch"));
  }
  const bool changed = fence.epoch > highest;
  highest = fence.epoch;
  return Admitted{changed};
}

void Fences::restore(std::string owner, uint64_t epoch) {
  uint64_t& highest = highest_[std::move(owner)];
  highest = std::max(highest, epoch);
}

}  // namespace colony::engine
