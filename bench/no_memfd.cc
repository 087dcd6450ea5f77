// Preloaded by bench/path.py: a kernel, or a container, that has no memfd. Links then stay on their sockets.
#include <cerrno>

extern "C" int memfd_create(const char*, unsigned) {
  errno = ENOSYS;
  return -1;
}
