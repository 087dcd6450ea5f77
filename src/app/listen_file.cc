// Written whole and renamed, so that a reader never sees half an address.
#include "app/listen_file.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <fmt/format.h>

#include <cstdlib>
#include <optional>

#include "app/config.h"
#include "engine/agent/file.h"

namespace colony::app {

Result<void> write_listen_file(const std::string& folder, const ListenFile& file) {
  return engine::write_file_atomic(folder + "/listen", fmt::format("{} {}\n", file.address, file.incarnation),
                                   engine::Sync::kNo);
}

Result<ListenFile> read_listen_file(const std::string& folder) {
  TRY(const auto text, engine::read_file(folder + "/listen", 4096));
  const auto space = text.find(' ');
  if (space == std::string::npos) return fail(not_found(folder + "/listen: holds no address"));
  return ListenFile{text.substr(0, space), std::strtoull(text.c_str() + space + 1, nullptr, 10)};
}

std::string listen_again(const std::string& folder, const std::string& wanted) {
  const auto file = read_listen_file(folder);
  const auto before = file ? std::optional(file->address) : std::nullopt;
  if (!wanted.ends_with(":0") || !before || !is_loopback(*before)) return wanted;
  const auto colon = before->rfind(':');
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_port = htons(static_cast<uint16_t>(std::atoi(before->c_str() + colon + 1)));
  if (inet_pton(AF_INET, before->substr(0, colon).c_str(), &at.sin_addr) != 1) return wanted;
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int one = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  const bool free = bind(fd, reinterpret_cast<const sockaddr*>(&at), sizeof at) == 0;
  close(fd);
  return free ? *before : wanted;
}

}  // namespace colony::app
