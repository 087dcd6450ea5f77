// The server's side of TLS fed arbitrary bytes: at once, or mixed into what a real client sends after a real handshake. The
// input is a script of steps. Whatever is done to the records, what the server is shown is what the client said, in order,
// cut at most; and nothing comes after the end.
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>

#include "transport/tls/acceptor.h"
#include "transport/tls/tls_test_support.h"

namespace colony::tls {
namespace {

struct Session final : async::StreamHandler {
  explicit Session(std::unique_ptr<TlsStream> s) : stream(std::move(s)) { stream->set_handler(this); }
  size_t on_bytes(std::string_view data) override {
    CHECK(!closed && (!ended || data.size() == left));  // what was left is shown once more when it is asked for
    const size_t n = std::min(data.size(), appetite);
    text += data.substr(0, n);
    left = data.size() - n;
    return n;
  }
  void on_end() override {
    CHECK(!closed && !ended);
    ended = true;
  }
  void on_closed(const Error&) override {
    CHECK(!closed);
    closed = true;
  }
  std::unique_ptr<TlsStream> stream;
  std::string text;
  size_t appetite = std::string::npos, left = 0;
  bool ended = false, closed = false;
};

std::shared_ptr<const ServerContext> make_context() {
  char folder[] = "/tmp/colony-tls-fuzz-XXXXXX";
  CHECK(::mkdtemp(folder) != nullptr);
  const testing::Identity server("server");
  const Files files = testing::write_files(folder, server);
  auto context = ServerContext::load(files);
  CHECK(context.has_value());
  ::unlink(files.cert.c_str());
  ::unlink(files.key.c_str());
  ::rmdir(folder);
  return *context;
}

void run(std::string_view script) {
  static const auto context = make_context();
  if (script.empty()) return;
  const char kind = script.front();
  script.remove_prefix(1);
  auto loop = async::SimLoop::create({.seed = 9, .max_chunk = static_cast<size_t>(kind & 3) * 50});
  std::vector<std::unique_ptr<Session>> sessions;
  Acceptor acceptor(*loop, context, {.handshake_timeout = 5s},
                    [&](std::unique_ptr<TlsStream> s) { sessions.push_back(std::make_unique<Session>(std::move(s))); });
  auto listener = *loop->listen({"server"}, [&](auto s) { acceptor.accept(std::move(s)); });
  if ((kind & 4) == 0) {  // raw bytes from the first on
    std::unique_ptr<async::Stream> raw;
    loop->connect({"server"}, Deadline::never(), [&](auto s) { raw = std::move(*s); });
    loop->run_ready();
    raw->write(script);
    if (kind & 8) raw->shutdown_write();
    loop->run_for(7s);
    CHECK(sessions.empty() && acceptor.open() == 0);
    return;
  }
  testing::TestClient client(*loop, {"server"}, {.max_version = kind & 16 ? TLS1_2_VERSION : TLS1_3_VERSION});
  CHECK(client.handshake());
  loop->run_ready();
  Session& session = *sessions.front();
  std::string said;
  client.hold = true;
  while (!script.empty()) {
    const char step = script.front();
    script.remove_prefix(1);
    const size_t n = script.empty() ? 0 : std::min<size_t>(static_cast<uint8_t>(script.front()), script.size() - 1);
    const std::string_view words = script.substr(std::min<size_t>(1, script.size()), n);
    switch (step) {
      case 's': said += words, client.send(words); break;
      case 'r': client.held_bytes += words; break;  // not of any record
      case 'f':                                     // a bit of what is on its way
        if (!client.held_bytes.empty()) client.held_bytes[n % client.held_bytes.size()] ^= 1;
        break;
      case 'x': client.held_bytes.resize(client.held_bytes.size() / 2); break;
      case 'd': client.held_bytes += client.held_bytes; break;  // replayed
      case 'k': SSL_key_update(client.ssl, SSL_KEY_UPDATE_REQUESTED), client.send(""); break;
      case 'g': client.stream->write(client.wire()), loop->run_ready(); break;
      case 'e': client.end(); break;
      case 't': client.stream->shutdown_write(); break;
      case 'p': session.stream->pause(); break;
      case 'u': session.stream->resume(), loop->run_ready(); break;
      case 'a': session.appetite = n; break;
      case 'w': session.stream->write_now(words, "."); break;
      case 'q': session.stream->shutdown_write(); break;
      default: break;
    }
    if (step == 's' || step == 'r' || step == 'w') script.remove_prefix(std::min(script.size(), n + 1));
  }
  client.stream->write(client.wire());
  session.appetite = std::string::npos;
  session.stream->resume();
  loop->run_for(7s);
  CHECK(said.starts_with(session.text));
}

}  // namespace
}  // namespace colony::tls

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  colony::tls::run({reinterpret_cast<const char*>(data), size});
  return 0;
}
