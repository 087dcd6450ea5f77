// Work for the end of the current turn that its owner may call off: Loop::defer() for objects that can die before the turn
// ends. No allocation per use. Lives on its loop.
#pragma once

#include <functional>

#include "async/loop.h"

namespace colony::async {

class Deferred {
 public:
  Deferred(Loop& loop, std::function<void()> fn) : node_(new Node{loop, std::move(fn)}) {}
  // Calls it off; also from inside fn.
  ~Deferred() {
    if (node_->queued || node_->running) {
      node_->orphan = true;
    } else {
      delete node_;
    }
  }
  Deferred(const Deferred&) = delete;
  Deferred& operator=(const Deferred&) = delete;

  // fn runs once at the end of this turn, however often this is called before.
  void schedule() {
    if (node_->queued) return;
    node_->queued = true;
    // WHY a plain pointer: std::function keeps a trivial capture of one word in place, an owning one on the heap.
    node_->loop.defer([node = node_] { run(node); });
  }

 private:
  struct Node {
    Loop& loop;
    std::function<void()> fn;
    bool queued = false, running = false, orphan = false;
  };
  static void run(Node* node) {
    node->queued = false;
    if (!node->orphan) {
      node->running = true;
      node->fn();
      node->running = false;
    }
    if (node->orphan && !node->queued) delete node;
  }
  Node* node_;
};

}  // namespace colony::async
