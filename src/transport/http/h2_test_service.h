// A Service for the tests of HTTP/2 connections: notes everything that happens to each request, and answers as told.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "transport/http/exchange.h"

namespace colony::http::testing {

struct H2TestService final : public Service {
  struct Seen final : public ExchangeHandler {
    Seen(H2TestService& o, Exchange& e) : owner(o), exchange(&e) {}
    void on_body(std::string_view data) override {
      body.append(data);
      if (owner.consume) exchange->consumed(data.size());
      if (owner.on_body) owner.on_body(*this, data);
    }
    void on_end(std::string_view t) override {
      ended = true;
      trailers = t;
      if (owner.on_end) owner.on_end(*this);
    }
    void on_writable() override {
      ++writable_calls;
      if (owner.on_writable) owner.on_writable(*this);
    }
    void on_done(bool k) override {
      ++done_calls;
      ok = k;
      exchange = nullptr;
    }
    H2TestService& owner;
    Exchange* exchange;
    std::string head, method, path, authority, body, trailers;
    bool has_body = false, ended = false, ok = false;
    int done_calls = 0, writable_calls = 0;
  };

  ExchangeHandler* on_request(Exchange& exchange, const RequestHead& head) override {
    seen.push_back(std::make_unique<Seen>(*this, exchange));
    Seen& s = *seen.back();
    s.head = head.block;
    s.method = head.method;
    s.path = head.path;
    s.authority = head.authority;
    s.has_body = head.has_body();
    if (on_request_fn) on_request_fn(s);
    return &s;
  }

  void echo() {
    on_end = [](Seen& s) {
      s.exchange->reply("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\n", s.body, More::kNo);
    };
  }

  bool consume = true;
  std::function<void(Seen&)> on_request_fn, on_end, on_writable;
  std::function<void(Seen&, std::string_view)> on_body;
  std::vector<std::unique_ptr<Seen>> seen;
};

}  // namespace colony::http::testing
