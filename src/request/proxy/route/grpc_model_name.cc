// Wire format: https://protobuf.dev/programming-guides/encoding/. Writers put fields in order of number, so field 1 is
// almost always the first; what comes before it is skipped.
#include "request/proxy/route/grpc_model_name.h"

#include <cstddef>

namespace colony::proxy {
namespace {

struct Walk {
  std::string_view in;  // of the message, as far as it is here
  size_t at = 0;

  enum class Got : uint8_t { kYes, kShort, kBad };
  Got varint(uint64_t& out) {
    out = 0;
    for (unsigned i = 0; i < 10; ++i) {
      if (at + i >= in.size()) return Got::kShort;
      const auto b = static_cast<unsigned char>(in[at + i]);
      out |= static_cast<uint64_t>(b & 0x7f) << (7 * i);
      if (!(b & 0x80)) {
        at += i + 1;
        return Got::kYes;
      }
    }
    return Got::kBad;
  }
};

// `in`: the message as far as it is here; `length`: of all of it, when that is known.
PeekState find_name(std::string_view in, uint64_t length, bool whole, std::string_view& name, std::string_view& why) {
  Walk walk{in};
  // Short of bytes: of the message itself when it is whole (broken), of what has come when it is not.
  const auto short_of_bytes = [&] {
    if (!whole) return PeekState::kNeedMore;
    why = "the protobuf message is cut off";
    return PeekState::kBad;
  };
  while (walk.at < length) {
    uint64_t key = 0, size = 0;
    switch (walk.varint(key)) {
      case Walk::Got::kShort: return short_of_bytes();
      case Walk::Got::kBad: why = "the protobuf message has a broken field key"; return PeekState::kBad;
      case Walk::Got::kYes: break;
    }
    const uint64_t field = key >> 3, type = key & 7;
    if (field == 0 || field > 0x1fffffff) {
      why = "the protobuf message has an impossible field number";
      return PeekState::kBad;
    }
    if (field == 1 && type != 2) {
      why = "field 1 (the model's name) is not a string";
      return PeekState::kBad;
    }
    switch (type) {
      case 0: {
        const auto got = walk.varint(size);
        if (got == Walk::Got::kShort) return short_of_bytes();
        if (got == Walk::Got::kBad) {
          why = "the protobuf message has a broken number";
          return PeekState::kBad;
        }
        continue;
      }
      case 1: size = 8; break;
      case 5: size = 4; break;
      case 2: {
        const auto got = walk.varint(size);
        if (got == Walk::Got::kShort) return short_of_bytes();
        if (got == Walk::Got::kBad) {
          why = "the protobuf message has a broken length";
          return PeekState::kBad;
        }
        break;
      }
      default: why = "the protobuf message has an unknown wire type"; return PeekState::kBad;
    }
    if (size > length - walk.at) {
      why = "a field is longer than its message";
      return PeekState::kBad;
    }
    if (field == 1) {
      if (size > walk.in.size() - walk.at) return PeekState::kNeedMore;
      name = walk.in.substr(walk.at, size);
      return PeekState::kFound;
    }
    walk.at += size;
    if (walk.at > walk.in.size()) return PeekState::kNeedMore;
  }
  name = {};
  return PeekState::kFound;
}

}  // namespace

PeekState grpc_model_name(std::string_view bytes, compress::Coding coding, std::string& unpacked,
                          std::string_view& name, std::string_view& why) {
  if (bytes.empty()) return PeekState::kNeedMore;
  if (bytes[0] != 0 && bytes[0] != 1) {
    why = "the message does not begin with a gRPC prefix";
    return PeekState::kBad;
  }
  const bool packed = bytes[0] == 1;
  if (packed && coding == compress::Coding::kIdentity) {
    why = "the message is compressed, but no grpc-encoding of gzip, deflate or zstd says how";
    return PeekState::kBad;
  }
  if (bytes.size() < 5) return PeekState::kNeedMore;
  uint32_t length = 0;
  for (size_t i = 1; i < 5; ++i) length = length << 8 | static_cast<unsigned char>(bytes[i]);
  const bool whole = bytes.size() - 5 >= length;
  if (!packed) return find_name(bytes.substr(5, length), length, whole, name, why);

  compress::Decompressor unpacker(coding, SIZE_MAX - 1);
  unpacker.enough_at(kMostUnpacked);
  unpacked.clear();
  if (!unpacker.feed(bytes.substr(5, length), unpacked)) {
    why = "the compressed message is broken";
    return PeekState::kBad;
  }
  const bool all = whole && unpacker.finish().has_value();
  if (whole && !all && unpacked.size() < kMostUnpacked) {
    why = "the compressed message ends before its end";
    return PeekState::kBad;
  }
  const auto state = find_name(unpacked, all ? unpacked.size() : UINT32_MAX, all, name, why);
  if (state == PeekState::kNeedMore && unpacked.size() >= kMostUnpacked) {
    why = "the model's name does not come within the first 64 KiB of the compressed message";
    return PeekState::kBad;
  }
  return state;
}

}  // namespace colony::proxy
