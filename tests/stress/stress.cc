// Threads that allocate, resize, check and free at random: every entry point, sizes 0 to 8 MiB,
// blocks freed by other threads than took them, threads that end and are replaced.
//
//   stress [--operations=N] [--seconds=N] [--threads=N] [--seed=N] [--megabytes=N]
//
// Each of the threads lives for a number of operations and then leaves its blocks to its successor.
// --operations is the number of all operations; --seconds ends the run by time instead. --megabytes
// bounds what all threads together hold. Prints the seed first; ends with status 0 when all was
// right and every block was given back.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "block.h"

namespace {

using stress::Block;
using stress::Random;

constexpr std::size_t kLargest = 8 << 20;
constexpr std::size_t kMailboxSlots = 64;
constexpr std::uint64_t kOperationsPerLife = 2000;

struct Settings {
  std::uint64_t operations = 100000;
  std::uint64_t seconds = 0;
  unsigned threads = 6;
  std::uint64_t seed = std::random_device{}();
  std::size_t megabytes = 384;
};

// Blocks on their way to a thread. A block record is itself allocated, and freed by the receiver.
struct Mailbox {
  std::atomic<Block*> slots[kMailboxSlots] = {};
};

struct Shared {
  Settings settings;
  std::vector<Mailbox> mailboxes;
  std::atomic<std::uint64_t> operations{0};
  std::atomic<std::uint64_t> passed_on{0};
  std::chrono::steady_clock::time_point deadline;

  bool over() const {
    if (settings.seconds != 0) return std::chrono::steady_clock::now() >= deadline;
    return operations.load(std::memory_order_relaxed) >= settings.operations;
  }
};

// One seat: its threads come and go, its blocks stay.
class Seat {
 public:
  Seat(Shared& shared, unsigned index)
      : shared_(shared),
        index_(index),
        limit_(shared.settings.megabytes * (std::size_t{1} << 20) / shared.settings.threads),
        random_(shared.settings.seed * 1000003 + index) {}

  // What one thread does between its birth and its death.
  void live() {
    const std::uint64_t length = kOperationsPerLife / 2 + random_.below(kOperationsPerLife);
    for (std::uint64_t i = 0; i < length && !shared_.over(); ++i) {
      operate();
      shared_.operations.fetch_add(1, std::memory_order_relaxed);
    }
  }

  void free_all() {
    while (!blocks_.empty()) drop(blocks_.size() - 1);
    for (std::atomic<Block*>& slot : shared_.mailboxes[index_].slots)
      free_letter(slot.exchange(nullptr));
  }

 private:
  void operate() {
    switch (random_.below(16)) {
      case 0:
        return send();
      case 1:
      case 2:
        return receive();
      case 3:
      case 4:
        if (!blocks_.empty()) resize(random_.below(blocks_.size()));
        return;
      case 5:
        if (!blocks_.empty()) {
          check_block(blocks_[random_.below(blocks_.size())], random_.below(8) == 0);
        }
        return;
      case 6:
      case 7:
      case 8:
      case 9:
        if (!blocks_.empty()) drop(random_.below(blocks_.size()));
        return;
      case 10:
        if (random_.below(200) == 0) free_burst();
        return take(256);
      default:
        return take(random_.below(4) == 0 ? kLargest : 16 << 10);
    }
  }

  void take(std::size_t largest) {
    while (held_ > limit_) drop(random_.below(blocks_.size()));
    blocks_.push_back(take_block(random_, largest));
    held_ += blocks_.back().usable;
  }

  void resize(std::size_t at) {
    Block& block = blocks_[at];
    held_ -= block.usable;
    resize_block(block, random_, block.usable > (64 << 10) ? kLargest : 256 << 10);
    held_ += block.usable;
  }

  Block remove(std::size_t at) {
    const Block block = blocks_[at];
    blocks_[at] = blocks_.back();
    blocks_.pop_back();
    held_ -= block.usable;
    return block;
  }

  void drop(std::size_t at) {
    Block block = remove(at);
    free_block(block, random_);
  }

  // Nearly everything at once, so that whole spans and chunks become free.
  void free_burst() {
    while (blocks_.size() > 10) drop(random_.below(blocks_.size()));
  }

  // Up to 30 blocks to another seat; a letter that nobody has taken yet comes back and is freed
  // here.
  void send() {
    Mailbox& other = shared_.mailboxes[random_.below(shared_.mailboxes.size())];
    const std::uint64_t count = 1 + random_.below(30);
    for (std::uint64_t i = 0; i < count && !blocks_.empty(); ++i) {
      auto* letter = new Block(remove(random_.below(blocks_.size())));
      free_letter(other.slots[random_.below(kMailboxSlots)].exchange(letter));
      shared_.passed_on.fetch_add(1, std::memory_order_relaxed);
    }
  }

  void receive() {
    for (std::atomic<Block*>& slot : shared_.mailboxes[index_].slots) {
      Block* letter = slot.exchange(nullptr);
      if (letter != nullptr && random_.below(4) == 0) {
        blocks_.push_back(*letter);  // kept, and freed or resized later
        held_ += letter->usable;
        delete letter;
      } else {
        free_letter(letter);
      }
    }
  }

  void free_letter(Block* letter) {
    if (letter == nullptr) return;
    free_block(*letter, random_);
    delete letter;
  }

  Shared& shared_;
  unsigned index_;
  std::size_t limit_;
  Random random_;
  std::size_t held_ = 0;
  std::vector<Block> blocks_;
};

bool read_setting(const std::string& argument, const char* name, std::uint64_t& value) {
  const std::string prefix = std::string("--") + name + "=";
  if (argument.rfind(prefix, 0) != 0) return false;
  value = std::strtoull(argument.c_str() + prefix.size(), nullptr, 10);
  return true;
}

Settings read_settings(int argc, char** argv) {
  Settings s;
  std::uint64_t threads = s.threads;
  std::uint64_t megabytes = s.megabytes;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (read_setting(argument, "operations", s.operations) ||
        read_setting(argument, "seconds", s.seconds) ||
        read_setting(argument, "threads", threads) || read_setting(argument, "seed", s.seed) ||
        read_setting(argument, "megabytes", megabytes)) {
      continue;
    }
    std::fprintf(stderr, "stress: what is '%s'?\n", argv[i]);
    std::exit(2);
  }
  s.threads = static_cast<unsigned>(std::clamp<std::uint64_t>(threads, 1, 4096));
  s.megabytes = megabytes;
  return s;
}

}  // namespace

int main(int argc, char** argv) {
  Shared shared;
  shared.settings = read_settings(argc, argv);
  const unsigned threads = shared.settings.threads;
  std::printf("seed %llu, %u threads\n", static_cast<unsigned long long>(shared.settings.seed),
              threads);
  std::fflush(stdout);
  shared.deadline =
      std::chrono::steady_clock::now() + std::chrono::seconds(shared.settings.seconds);
  shared.mailboxes = std::vector<Mailbox>(threads);

  std::vector<std::unique_ptr<Seat>> seats;
  for (unsigned i = 0; i < threads; ++i) seats.push_back(std::make_unique<Seat>(shared, i));
  std::atomic<std::uint64_t> lives{0};
  std::vector<std::thread> managers;
  for (unsigned i = 0; i < threads; ++i) {
    managers.emplace_back([&shared, &seats, &lives, i] {
      while (!shared.over()) {
        std::thread([&seats, i] { seats[i]->live(); }).join();
        lives.fetch_add(1, std::memory_order_relaxed);
      }
    });
  }
  for (std::thread& manager : managers) manager.join();
  for (std::unique_ptr<Seat>& seat : seats) seat->free_all();
  std::printf("%llu operations, %llu threads lived, %llu blocks passed on: ok\n",
              static_cast<unsigned long long>(shared.operations.load()),
              static_cast<unsigned long long>(lives.load()),
              static_cast<unsigned long long>(shared.passed_on.load()));
  return 0;
}
