#include "heap/options.h"

#include <cstdint>
#include <cstring>
#include <iterator>

#include "base/check.h"
#include "base/format.h"
#include "heap/memory_limit.h"
#include "os/os.h"

namespace ream {
namespace {

constinit Options g_options;

constexpr char kPrefix[] = "REAM_";

// A number with an optional suffix, up to `end`. False when it is none, or does not fit.
bool parse_size(const char* text, const char* end, Bytes& result) noexcept {
  std::uint64_t n = 0;
  const char* p = text;
  for (; p != end && *p >= '0' && *p <= '9'; ++p) {
    if (__builtin_mul_overflow(n, 10u, &n) ||
        __builtin_add_overflow(n, static_cast<unsigned>(*p - '0'), &n))
      return false;
  }
  if (p == text) return false;
  unsigned shift = 0;
  switch (p != end ? *p : '\0') {
    case 'K':
      shift = 10;
      break;
    case 'M':
      shift = 20;
      break;
    case 'G':
      shift = 30;
      break;
    default:
      break;
  }
  if (shift != 0) ++p;
  if (p != end || n > (~std::uint64_t{0} >> shift)) return false;
  result = Bytes(n << shift);
  return true;
}

bool parse_size(const char* text, Bytes& result) noexcept {
  return parse_size(text, text + std::strlen(text), result);
}

// "NAME=SIZE" at the beginning of `text`, up to a comma or the end. Moves `text` behind it and the
// comma. False when it is another name, the size is bad or 0, or nothing follows the comma.
bool parse_named_size(const char*& text, const char* name, Bytes& result) noexcept {
  const std::size_t n = std::strlen(name);
  if (std::strncmp(text, name, n) != 0) return false;
  const char* const end = text + std::strcspn(text, ",");
  if (!parse_size(text + n, end, result) || result == Bytes()) return false;
  if (*end == ',' && end[1] == '\0') return false;
  text = *end == ',' ? end + 1 : end;
  return true;
}

bool parse_limit(const char* text, Options& o) noexcept {
  o.soft_limit = o.hard_limit = Bytes();
  o.limit_of_group = std::strcmp(text, "auto") == 0;
  if (o.limit_of_group) return true;
  if (parse_size(text, o.hard_limit)) {
    o.soft_limit = MemoryLimit::soft_of(o.hard_limit);
    return true;
  }
  const bool soft = parse_named_size(text, "soft=", o.soft_limit);
  const bool hard = parse_named_size(text, "hard=", o.hard_limit);
  return *text == '\0' && (soft || hard) && (!hard || o.soft_limit <= o.hard_limit);
}

bool parse_switch(const char* text, bool& result) noexcept {
  result = std::strcmp(text, "on") == 0;
  return result || std::strcmp(text, "off") == 0;
}

bool parse_huge_pages(const char* text, HugePageMode& result) noexcept {
  constexpr const char* kNames[] = {"adaptive", "never", "always", "explicit"};
  for (std::size_t i = 0; i < std::size(kNames); ++i) {
    if (std::strcmp(text, kNames[i]) != 0) continue;
    result = static_cast<HugePageMode>(i);
    return true;
  }
  return false;
}

// Sets one option. False when the value is bad.
using Parse = bool (*)(const char* value, Options& options) noexcept;

struct Known {
  const char* name;
  Parse parse;
};

constexpr Known kKnown[] = {
    {"REAM_RETAIN",
     [](const char* value, Options& o) noexcept { return parse_size(value, o.retain); }},
    {"REAM_WORKER",
     [](const char* value, Options& o) noexcept { return parse_switch(value, o.worker); }},
    {"REAM_MEMORY_LIMIT", parse_limit},
    {"REAM_HUGE_PAGES",
     [](const char* value, Options& o) noexcept { return parse_huge_pages(value, o.huge_pages); }},
    {"REAM_NUMA",
     [](const char* value, Options& o) noexcept { return parse_switch(value, o.numa); }},
    {"REAM_REPORT",
     [](const char* value, Options& o) noexcept {
       o.report = value;
       return *value != '\0';
     }},
};

const Known* find_known(const char* entry, std::size_t name_length) noexcept {
  for (const Known& known : kKnown) {
    if (std::strlen(known.name) == name_length && std::memcmp(known.name, entry, name_length) == 0)
      return &known;
  }
  return nullptr;
}

// Names from the environment can be long: a message shows their beginning.
void complain(const char* what, const char* entry, std::size_t name_length,
              const char* value) noexcept {
  char name[64];
  const std::size_t shown = name_length < sizeof(name) ? name_length : sizeof(name) - 1;
  std::memcpy(name, entry, shown);
  name[shown] = '\0';
  TextBuffer<256> line;
  line.text(what).text(name);
  if (value != nullptr) line.text(": \"").text(value).text("\"");
  line.text(" ignored");
  char text[257];
  std::memcpy(text, line.data(), line.size());
  text[line.size()] = '\0';
  message(text);
}

}  // namespace

Options parse_options(const char* const* environment) noexcept {
  Options result;
  for (const char* const* entry = environment; environment != nullptr && *entry != nullptr;
       ++entry) {
    if (std::strncmp(*entry, kPrefix, sizeof(kPrefix) - 1) != 0) continue;
    const char* equals = std::strchr(*entry, '=');
    if (equals == nullptr) continue;
    const auto length = static_cast<std::size_t>(equals - *entry);
    const Known* known = find_known(*entry, length);
    if (known == nullptr) {
      complain("unknown option ", *entry, length, nullptr);
      continue;
    }
    const Options before = result;
    if (!known->parse(equals + 1, result)) {
      result = before;
      complain("bad value for ", *entry, length, equals + 1);
    }
  }
  return result;
}

void read_options() noexcept { g_options = parse_options(os::environment()); }

const Options& options() noexcept { return g_options; }

}  // namespace ream
