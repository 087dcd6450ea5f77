// What a tensor costs on its way in and out: JSON, JSON with binary data, gRPC. Bytes are the request's (or the reply's).
#include <benchmark/benchmark.h>

#include <cmath>
#include <cstring>

#include "base/check.h"
#include "request/runtime/oip/contract.h"

namespace colony::runtime::oip {
namespace {

template <class T>
InferReply reply_of(DataType type, int64_t elements) {
  std::string bytes(static_cast<size_t>(elements) * sizeof(T), '\0');
  for (int64_t i = 0; i < elements; ++i) {
    const auto v = static_cast<T>(std::is_integral_v<T> ? i * 7919 % 100'003 : std::sin(static_cast<double>(i)));
    std::memcpy(bytes.data() + static_cast<size_t>(i) * sizeof(T), &v, sizeof v);
  }
  return {"m", "1", {own_tensor("x", type, {1, elements}, std::move(bytes))}};
}

std::string request_of(const InferReply& reply) {
  std::string text;
  CHECK(write_infer(reply, {}, text));
  text.replace(text.find("\"outputs\""), 9, "\"inputs\"");
  return text;
}

void set_bytes(benchmark::State& state, size_t per_turn) {
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(per_turn));
}

template <class T, DataType kType>
void read_json(benchmark::State& state) {
  const std::string text = request_of(reply_of<T>(kType, state.range(0)));
  for (auto _ : state) {
    auto body = std::make_shared<std::string>();
    body->reserve(text.size() + 64);
    body->append(text);
    ParsedInfer parsed;
    CHECK(parse_infer(std::move(body), std::nullopt, parsed));
    benchmark::DoNotOptimize(parsed);
  }
  set_bytes(state, text.size());
}
BENCHMARK(read_json<float, DataType::kFp32>)->Arg(1)->Arg(1000)->Arg(150'528)->Name("read_json/FP32");
BENCHMARK(read_json<double, DataType::kFp64>)->Arg(150'528)->Name("read_json/FP64");
BENCHMARK(read_json<int64_t, DataType::kInt64>)->Arg(150'528)->Name("read_json/INT64");
BENCHMARK(read_json<uint8_t, DataType::kUint8>)->Arg(150'528)->Name("read_json/UINT8");

template <class T, DataType kType>
void write_json(benchmark::State& state) {
  const InferReply reply = reply_of<T>(kType, state.range(0));
  size_t bytes = 0;
  for (auto _ : state) {
    std::string written;
    CHECK(write_infer(reply, {}, written));
    bytes = written.size();
  }
  set_bytes(state, bytes);
}
BENCHMARK(write_json<float, DataType::kFp32>)->Arg(1)->Arg(1000)->Arg(150'528)->Name("write_json/FP32");
BENCHMARK(write_json<int64_t, DataType::kInt64>)->Arg(150'528)->Name("write_json/INT64");

void read_binary(benchmark::State& state) {
  const std::string json = R"({"inputs":[{"name":"x","datatype":"FP32","shape":[1,)" + std::to_string(state.range(0)) +
                           R"(],"parameters":{"binary_data_size":)" + std::to_string(4 * state.range(0)) + "}}]}";
  const auto body = std::make_shared<std::string>(json + std::string(static_cast<size_t>(4 * state.range(0)), 'x'));
  for (auto _ : state) {
    ParsedInfer parsed;
    CHECK(parse_infer(body, json.size(), parsed));
    benchmark::DoNotOptimize(parsed);
  }
  set_bytes(state, body->size());
}
BENCHMARK(read_binary)->Arg(1)->Arg(150'528);

// The response's fields have the request's numbers but for the raw contents, which are moved by one.
std::string message_of(int64_t elements) {
  const InferReply reply = reply_of<float>(DataType::kFp32, elements);
  std::string message;
  CHECK(write_model_infer(reply, "7", message));
  const std::string_view data = reply.outputs[0].data;
  const size_t raw = message.size() - data.size();
  message[message.rfind('\x32', raw - 1)] = '\x3a';
  return message;
}

void read_message(benchmark::State& state) {
  const std::string message = message_of(state.range(0));
  for (auto _ : state) {
    InferRequest parsed;
    CHECK(parse_model_infer(message, nullptr, parsed));
    benchmark::DoNotOptimize(parsed);
  }
  set_bytes(state, message.size());
}
BENCHMARK(read_message)->Arg(1)->Arg(150'528);

void write_message(benchmark::State& state) {
  const InferReply reply = reply_of<float>(DataType::kFp32, state.range(0));
  size_t bytes = 0;
  for (auto _ : state) {
    std::string message;
    CHECK(write_model_infer(reply, "7", message));
    bytes = message.size();
  }
  set_bytes(state, bytes);
}
BENCHMARK(write_message)->Arg(1)->Arg(150'528);

}  // namespace
}  // namespace colony::runtime::oip
