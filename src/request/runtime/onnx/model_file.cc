// An ONNX file is one protobuf message, ModelProto (github.com/onnx/onnx, onnx.proto); the walk over its top-level fields
// finds where it ends early and what is no ModelProto at all. ONNX Runtime's own format (.ort, a flatbuffer) is let through.
#include "request/runtime/onnx/model_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <optional>
#include <string_view>

namespace colony::runtime::onnx {
namespace {

struct Descriptor {
  int fd;
  ~Descriptor() { ::close(fd); }
};

std::optional<uint64_t> varint(std::string_view& s) {
  uint64_t value = 0;
  for (int shift = 0; shift < 64 && !s.empty(); shift += 7) {
    const auto b = static_cast<unsigned char>(s.front());
    s.remove_prefix(1);
    value |= static_cast<uint64_t>(b & 0x7F) << shift;
    if (b < 0x80) return value;
  }
  return std::nullopt;
}

// Wire type of a field of ModelProto; nullopt for a number that it does not have.
std::optional<unsigned> wire_type(uint64_t field) {
  switch (field) {
    case 1:  // ir_version
    case 5:  // model_version
      return 0;
    case 2:   // producer_name
    case 3:   // producer_version
    case 4:   // domain
    case 6:   // doc_string
    case 7:   // graph
    case 8:   // opset_import
    case 14:  // metadata_props
    case 20:  // training_info
    case 25:  // functions
    case 26:  // configuration
      return 2;
    default: return std::nullopt;
  }
}

Error not_onnx(const std::string& path) {
  return invalid_argument(fmt::format("model file {} is not an ONNX model", path), "model_not_onnx");
}
Error cut(const std::string& path, uint64_t size, uint64_t wanted) {
  return invalid_argument(
      fmt::format("model file {} is truncated: it has {} bytes, its header speaks of at least {}", path, size, wanted),
      "model_truncated");
}

}  // namespace

Result<void> check_model_file(const std::string& path) {
  struct stat st{};
  if (::stat(path.c_str(), &st) != 0) return fail(errno_error(fmt::format("model file {}", path), errno));
  if (S_ISDIR(st.st_mode))
    return fail(invalid_argument(fmt::format("model file {} is a directory: give the .onnx file in it", path)));
  if (!S_ISREG(st.st_mode)) return fail(invalid_argument(fmt::format("model file {} is not a regular file", path)));
  const Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  if (file.fd < 0) return fail(errno_error(fmt::format("model file {}", path), errno));
  const auto size = static_cast<uint64_t>(st.st_size);
  if (size == 0) return fail(invalid_argument(fmt::format("model file {} is empty", path), "model_truncated"));
  bool graph = false;
  for (uint64_t at = 0; at < size;) {
    char buffer[32];
    const ssize_t n = ::pread(file.fd, buffer, sizeof buffer, static_cast<off_t>(at));
    if (n < 0) return fail(errno_error(fmt::format("model file {}", path), errno));
    if (n == 0) return fail(cut(path, at, size));  // it became shorter while we read
    std::string_view rest(buffer, static_cast<size_t>(n));
    if (at == 0 && rest.size() >= 8 && rest.substr(4, 4) == "ORTM") return {};
    const auto tag = varint(rest);
    const auto wire = tag ? wire_type(*tag >> 3) : std::nullopt;
    if (!wire || *wire != (*tag & 7)) return fail(not_onnx(path));
    const auto value = varint(rest);
    if (!value) return fail(at + static_cast<uint64_t>(n) == size ? cut(path, size, size + 1) : not_onnx(path));
    at += static_cast<uint64_t>(n) - rest.size();
    if (*wire != 2) continue;
    if (*value > size - at)
      return fail(graph || at > 2 || *value < (uint64_t{1} << 40) ? cut(path, size, at + *value) : not_onnx(path));
    if (*tag >> 3 == 7) graph = true;
    at += *value;
  }
  if (!graph) return fail(not_onnx(path));
  return {};
}

}  // namespace colony::runtime::onnx
