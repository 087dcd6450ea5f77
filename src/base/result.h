// Result<T>: a value or an Error. TRY unwraps inside a function that returns a Result, CO_TRY inside a coroutine that
// returns Task<Result<...>>. TRY_VOID and CO_TRY_VOID are for Result<void>.
#pragma once

#include <expected>
#include <utility>

#include "base/error.h"

namespace colony {

template <class T = void>
using Result = std::expected<T, Error>;

inline std::unexpected<Error> fail(Error e) { return std::unexpected<Error>(std::move(e)); }

}  // namespace colony

#define COLONY_CAT2(a, b) a##b
#define COLONY_CAT(a, b) COLONY_CAT2(a, b)
#define COLONY_TRY_IMPL(tmp, how, decl, ...)    \
  auto tmp = (__VA_ARGS__);                     \
  if (!tmp) [[unlikely]]                        \
    how ::colony::fail(std::move(tmp).error()); \
  decl = std::move(*tmp)
#define COLONY_TRY_VOID_IMPL(tmp, how, ...)        \
  if (auto tmp = (__VA_ARGS__); !tmp) [[unlikely]] \
  how ::colony::fail(std::move(tmp).error())

#define TRY(decl, ...) COLONY_TRY_IMPL(COLONY_CAT(try_, __COUNTER__), return, decl, __VA_ARGS__)
#define CO_TRY(decl, ...) COLONY_TRY_IMPL(COLONY_CAT(try_, __COUNTER__), co_return, decl, __VA_ARGS__)
#define TRY_VOID(...) COLONY_TRY_VOID_IMPL(COLONY_CAT(try_, __COUNTER__), return, __VA_ARGS__)
#define CO_TRY_VOID(...) COLONY_TRY_VOID_IMPL(COLONY_CAT(try_, __COUNTER__), co_return, __VA_ARGS__)
