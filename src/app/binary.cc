// A binary that was replaced while it ran shows as "PATH (deleted)": then the new one at PATH is taken.
#include "app/binary.h"

#include <unistd.h>

#include <cerrno>
#include <climits>

namespace colony::app {

Result<std::string> own_binary() {
  char path[PATH_MAX];
  const ssize_t n = readlink("/proc/self/exe", path, sizeof path);
  if (n <= 0) return fail(errno_error("/proc/self/exe", errno));
  std::string out(path, static_cast<size_t>(n));
  if (constexpr std::string_view kGone = " (deleted)"; out.ends_with(kGone)) out.resize(out.size() - kGone.size());
  return out;
}

}  // namespace colony::app
