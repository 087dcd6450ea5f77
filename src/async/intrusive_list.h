// A doubly linked list whose links live in its elements: linking and leaving cost no allocation, and an element that is
// destroyed leaves by itself. One element may be in several lists, one per Tag. Not thread-safe.
#pragma once

namespace colony::async {

template <class Tag>
class Hook {
 public:
  Hook() = default;
  ~Hook() { unlink(); }
  Hook(const Hook&) = delete;
  Hook& operator=(const Hook&) = delete;
  bool linked() const { return next_ != nullptr; }
  void unlink() {
    if (!next_) return;
    prev_->next_ = next_;
    next_->prev_ = prev_;
    prev_ = next_ = nullptr;
  }

 private:
  template <class T, class Tg>
  friend class IntrusiveList;
  Hook* prev_ = nullptr;
  Hook* next_ = nullptr;
};

// T derives from Hook<Tag>.
template <class T, class Tag>
class IntrusiveList {
 public:
  IntrusiveList() { end_.prev_ = end_.next_ = &end_; }
  ~IntrusiveList() {
    while (pop_front()) {
    }
    end_.prev_ = end_.next_ = nullptr;
  }
  bool empty() const { return end_.next_ == &end_; }
  T* front() { return empty() ? nullptr : static_cast<T*>(end_.next_); }
  // Moves the element here when it is in another list of the same Tag.
  void push_back(T& t) {
    Hook<Tag>& h = t;
    h.unlink();
    h.prev_ = end_.prev_;
    h.next_ = &end_;
    end_.prev_->next_ = &h;
    end_.prev_ = &h;
  }
  T* pop_front() {
    T* t = front();
    if (t) static_cast<Hook<Tag>*>(t)->unlink();
    return t;
  }
  // fn(element) may take the element that it is shown out of the list, and no other.
  template <class Fn>
  void for_each(Fn fn) {
    for (Hook<Tag>* h = end_.next_; h != &end_;) {
      Hook<Tag>* const next = h->next_;
      fn(*static_cast<T*>(h));
      h = next;
    }
  }
  // Appends all of `other`, which is empty afterwards.
  void take(IntrusiveList& other) {
    if (other.empty()) return;
    other.end_.next_->prev_ = end_.prev_;
    end_.prev_->next_ = other.end_.next_;
    other.end_.prev_->next_ = &end_;
    end_.prev_ = other.end_.prev_;
    other.end_.prev_ = other.end_.next_ = &other.end_;
  }

 private:
  Hook<Tag> end_;
};

}  // namespace colony::async
