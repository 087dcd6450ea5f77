// zlib and libzstd behind one streaming face. Both are given their input and as much room as the string has or gets; the
// bounds are looked at after every piece of output.
#include <fmt/core.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <limits>

#include "base/check.h"
#include "transport/compress/coding.h"

namespace colony::compress {
namespace {

constexpr size_t kPiece = 64 * 1024;  // output between two looks at the bounds
constexpr int kZstdWindowLog = 23;    // LIMIT: 8 MiB; larger windows are refused
constexpr int kGzipWindow = 15 + 16, kZlibWindow = 15;

Error broken(Coding coding) {
  return invalid_argument(fmt::format("the body is not valid {}", to_string(coding)), "bad_encoding");
}

}  // namespace

// Consumes from the front of `in`, appends at most `room` bytes to `out`.
struct Decompressor::Library {
  enum class Step : uint8_t { kMore, kEnd, kBroken };  // kMore: wants input or room

  explicit Library(Coding coding) : coding_(coding) {
    if (coding == Coding::kZstd) {
      zstd_ = ZSTD_createDCtx();
      CHECK(zstd_ != nullptr);
      CHECK(!ZSTD_isError(ZSTD_DCtx_setParameter(zstd_, ZSTD_d_windowLogMax, kZstdWindowLog)));
    } else {
      CHECK(inflateInit2(&zlib_, coding == Coding::kGzip ? kGzipWindow : kZlibWindow) == Z_OK);
    }
  }
  ~Library() {
    if (zstd_ != nullptr) {
      ZSTD_freeDCtx(zstd_);
    } else {
      inflateEnd(&zlib_);
    }
  }
  Library(const Library&) = delete;
  Library& operator=(const Library&) = delete;

  Step step(std::string_view& in, std::string& out, size_t room) {
    const size_t before = out.size();
    if (out.capacity() < before + room)
      out.reserve(std::max(before + room, std::min(2 * before, before + (room << 8))));
    Step result = Step::kMore;
    out.resize_and_overwrite(before + room, [&](char* data, size_t) {
      size_t made = 0;
      result = coding_ == Coding::kZstd ? zstd_step(in, data + before, room, made)
                                        : zlib_step(in, data + before, room, made);
      return before + made;
    });
    return result;
  }

 private:
  Step zlib_step(std::string_view& in, char* to, size_t room, size_t& made) {
    const size_t give = std::min<size_t>(in.size(), std::numeric_limits<uInt>::max());
    zlib_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(in.data()));  // NOLINT: zlib does not write there
    zlib_.avail_in = static_cast<uInt>(give);
    zlib_.next_out = reinterpret_cast<Bytef*>(to);
    zlib_.avail_out = static_cast<uInt>(room);
    const int rc = inflate(&zlib_, Z_NO_FLUSH);
    in.remove_prefix(give - zlib_.avail_in);
    made = room - zlib_.avail_out;
    if (rc == Z_STREAM_END) {
      CHECK(inflateReset(&zlib_) == Z_OK);
      return Step::kEnd;
    }
    return rc == Z_OK || rc == Z_BUF_ERROR ? Step::kMore : Step::kBroken;
  }

  Step zstd_step(std::string_view& in, char* to, size_t room, size_t& made) {
    ZSTD_inBuffer from{in.data(), in.size(), 0};
    ZSTD_outBuffer into{to, room, 0};
    const size_t rc = ZSTD_decompressStream(zstd_, &into, &from);
    in.remove_prefix(from.pos);
    made = into.pos;
    if (ZSTD_isError(rc)) return Step::kBroken;
    return rc == 0 ? Step::kEnd : Step::kMore;
  }

  Coding coding_;
  z_stream zlib_{};
  ZSTD_DCtx* zstd_ = nullptr;
};

Decompressor::Decompressor(Coding coding, size_t max_output)
    : coding_(coding), max_output_(max_output), library_(std::make_unique<Library>(coding)) {
  CHECK(coding != Coding::kIdentity);
}
Decompressor::~Decompressor() = default;

Result<void> Decompressor::fail_with(Error error) {
  error_ = std::move(error);
  return fail(*error_);
}

Result<void> Decompressor::check() {
  if (made_ > max_output_)
    return fail_with(resource_exhausted(
        fmt::format("the {} body holds more than {} bytes", to_string(coding_), max_output_), "body_too_large"));
  if (made_ > kFreeOutput && made_ - kFreeOutput > read_ * kMaxRatio)
    return fail_with(resource_exhausted(
        fmt::format("{} bytes of {} became {} and more: above {} MiB at most {} bytes may come of one", read_,
                    to_string(coding_), made_, kFreeOutput >> 20, kMaxRatio),
        "body_too_large"));
  return {};
}

Result<void> Decompressor::feed(std::string_view data, std::string& out) {
  if (error_) return fail(*error_);
  for (bool full = true; (!data.empty() || full) && made_ < enough_;) {
    if (at_end_) {
      if (data.empty()) break;
      // RFC 1952 and RFC 8878 let members and frames follow one another; zlib's format ends once.
      if (coding_ == Coding::kDeflate) return fail_with(broken(coding_));
      at_end_ = false;
    }
    const size_t before = data.size(), size = out.size();
    // One byte beyond the bound is made, no more: that is how it is known to be exceeded.
    const size_t room = std::min(kPiece, max_output_ - made_ + 1);
    const auto step = library_->step(data, out, room);
    read_ += before - data.size();
    made_ += out.size() - size;
    full = out.size() - size == room;
    if (step == Library::Step::kBroken) return fail_with(broken(coding_));
    if (auto ok = check(); !ok) return ok;
    at_end_ = step == Library::Step::kEnd;
    if (step == Library::Step::kMore && before == data.size() && out.size() == size) break;  // wants more input
  }
  return {};
}

Result<void> Decompressor::finish() {
  if (error_) return fail(*error_);
  if (at_end_) return {};
  return fail_with(
      invalid_argument(fmt::format("the {} body ends before its end", to_string(coding_)), "bad_encoding"));
}

Result<std::string> decompress(Coding coding, std::string_view data, size_t max_output) {
  Decompressor d(coding, max_output);
  std::string out;
  TRY_VOID(d.feed(data, out));
  TRY_VOID(d.finish());
  return out;
}

std::string compress(Coding coding, std::string_view data) {
  std::string out;
  if (coding == Coding::kZstd) {
    out.resize_and_overwrite(ZSTD_compressBound(data.size()), [&](char* to, size_t room) {
      const size_t n = ZSTD_compress(to, room, data.data(), data.size(), 1);
      CHECK(!ZSTD_isError(n));
      return n;
    });
    return out;
  }
  z_stream z{};
  constexpr int kMemory = 8;  // zlib's own default
  CHECK(coding != Coding::kIdentity);
  CHECK(deflateInit2(&z, 1, Z_DEFLATED, coding == Coding::kGzip ? kGzipWindow : kZlibWindow, kMemory,
                     Z_DEFAULT_STRATEGY) == Z_OK);
  out.resize_and_overwrite(deflateBound(&z, data.size()), [&](char* to, size_t room) {
    size_t made = 0;
    for (int rc = Z_OK; rc != Z_STREAM_END;) {
      constexpr size_t kMost = std::numeric_limits<uInt>::max();
      const size_t give = std::min(data.size(), kMost), take = std::min(room - made, kMost);
      z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(data.data()));  // NOLINT: zlib does not write there
      z.avail_in = static_cast<uInt>(give);
      z.next_out = reinterpret_cast<Bytef*>(to + made);
      z.avail_out = static_cast<uInt>(take);
      rc = deflate(&z, give == data.size() ? Z_FINISH : Z_NO_FLUSH);
      CHECK(rc == Z_OK || rc == Z_STREAM_END);
      data.remove_prefix(give - z.avail_in);
      made += take - z.avail_out;
    }
    return made;
  });
  deflateEnd(&z);
  return out;
}

}  // namespace colony::compress
