// The header is a Python dict literal in a fixed form; only that form is read.
#include "control/cli/npy.h"

#include <fmt/format.h>

#include <charconv>

namespace colony::cli {
namespace {

constexpr std::string_view kMagic = "\x93NUMPY";
constexpr int64_t kMaxElements = int64_t{1} << 32;  // LIMIT

struct TypeRow {
  std::string_view descr, oip;
  size_t size;
};
constexpr TypeRow kTypes[] = {{"|b1", "BOOL", 1},   {"|u1", "UINT8", 1}, {"<u2", "UINT16", 2}, {"<u4", "UINT32", 4},
                              {"<u8", "UINT64", 8}, {"|i1", "INT8", 1},  {"<i2", "INT16", 2},  {"<i4", "INT32", 4},
                              {"<i8", "INT64", 8},  {"<f2", "FP16", 2},  {"<f4", "FP32", 4},   {"<f8", "FP64", 8}};

// The text after "'key':", white space skipped.
Result<std::string_view> value_of(std::string_view header, std::string_view key) {
  const auto at = header.find(fmt::format("'{}':", key));
  if (at == std::string_view::npos) return fail(invalid_argument(fmt::format(".npy: the header has no '{}'", key)));
  auto rest = header.substr(at + key.size() + 3);
  while (rest.starts_with(' ')) rest.remove_prefix(1);
  return rest;
}

}  // namespace

Result<NpyArray> parse_npy(std::string_view bytes) {
  if (bytes.size() < 10 || !bytes.starts_with(kMagic))
    return fail(invalid_argument(".npy: the file does not begin with \\x93NUMPY"));
  const auto byte = [&](size_t i) { return static_cast<size_t>(static_cast<unsigned char>(bytes[i])); };
  const int major = static_cast<int>(byte(6));
  size_t length = byte(8) | byte(9) << 8, start = 10;
  if (major >= 2) {
    if (bytes.size() < 12) return fail(invalid_argument(".npy: the header is cut off"));
    length |= byte(10) << 16 | byte(11) << 24;
    start = 12;
  }
  if (length > bytes.size() - start) return fail(invalid_argument(".npy: the header is cut off"));
  const auto header = bytes.substr(start, length);
  NpyArray out;
  out.data = bytes.substr(start + length);

  TRY(auto descr, value_of(header, "descr"));
  if (!descr.starts_with('\''))
    return fail(invalid_argument(".npy: structured types cannot be a tensor; save a plain array"));
  descr.remove_prefix(1);
  descr = descr.substr(0, descr.find('\''));
  const TypeRow* type = nullptr;
  for (const auto& row : kTypes)
    if (row.descr == descr) type = &row;
  if (!type)
    return fail(invalid_argument(fmt::format(
        ".npy: dtype '{}' has no OIP datatype; use bool, (u)int8..64 or float16..64, little endian", descr)));
  out.datatype = type->oip;

  TRY(auto order, value_of(header, "fortran_order"));
  TRY(auto shape, value_of(header, "shape"));
  if (!shape.starts_with('(')) return fail(invalid_argument(".npy: 'shape' is no tuple"));
  shape.remove_prefix(1);
  int64_t elements = 1;
  while (!shape.starts_with(')')) {
    while (shape.starts_with(' ') || shape.starts_with(',')) shape.remove_prefix(1);
    if (shape.starts_with(')')) break;
    int64_t n = 0;
    const auto [end, ec] = std::from_chars(shape.data(), shape.data() + shape.size(), n);
    if (ec != std::errc{} || n < 0 || (n > 0 && elements > kMaxElements / n) || out.shape.size() == 32)
      return fail(invalid_argument(".npy: 'shape' is no tuple of sizes"));
    elements *= n;
    out.shape.push_back(n);
    shape.remove_prefix(static_cast<size_t>(end - shape.data()));
    if (!shape.starts_with(',') && !shape.starts_with(')'))
      return fail(invalid_argument(".npy: 'shape' is no tuple of sizes"));
  }
  if (order.starts_with("True") && out.shape.size() > 1)
    return fail(invalid_argument(".npy: the array is in Fortran order; save np.ascontiguousarray(a)"));
  if (out.data.size() != static_cast<size_t>(elements) * type->size)
    return fail(invalid_argument(fmt::format(".npy: {} bytes of data, the shape needs {}", out.data.size(),
                                             static_cast<size_t>(elements) * type->size)));
  return out;
}

}  // namespace colony::cli
