// fast_path: makes calls of malloc and its like, step by step, and prints each instruction that
// they execute, with the registers before it. fast_path.py reads that.
//
// The processor's trap flag stops the program after every instruction, so no debugger is needed and
// nothing is changed in what is looked at. x86-64 and Linux only. Exit status 77: that flag does
// nothing here.
//
// Output, numbers in hexadecimal:
//   compiler TEXT                      what built this program, and the library beside it
//   module BASE BEGIN END PATH         what is mapped; a PATH's address is BASE + that in the file
//   call OBJECT BYTES FS STEPS PATH    one call, of the object and with the fs base given; STEPS in
//                                      all, of which the first kMaxSteps follow
//   step RIP RAX RBX RCX RDX RSI RDI RBP RSP R8 ... R15
#include <dlfcn.h>
#include <link.h>
#include <signal.h>
#include <ucontext.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <initializer_list>

namespace {

constexpr int kNotStepped = 77;
constexpr std::size_t kMaxSteps = 1000;
constexpr std::uint64_t kTrapFlag = 0x100;
constexpr std::array kRegisters{REG_RIP, REG_RAX, REG_RBX, REG_RCX, REG_RDX, REG_RSI,
                                REG_RDI, REG_RBP, REG_RSP, REG_R8,  REG_R9,  REG_R10,
                                REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};

using Step = std::array<std::uint64_t, kRegisters.size()>;
std::array<Step, kMaxSteps> g_steps;
std::size_t g_step_count = 0;

// Calls function(a, b) with the trap flag set; on_trap() clears it at step_end. The first trap is
// at the function's first instruction.
extern "C" std::uint64_t step_call(void* function, std::uint64_t a, std::uint64_t b);
extern "C" const char step_end[];
asm(R"(
.text
.type step_call, @function
step_call:
  pushq %rbp
  movq %rdi, %rax
  movq %rsi, %rdi
  movq %rdx, %rsi
  pushfq
  orq $0x100, (%rsp)
  popfq
  callq *%rax
step_end:
  popq %rbp
  retq
.size step_call, . - step_call
)");

void on_trap(int, siginfo_t*, void* context) {
  auto& registers = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
  if (registers[REG_RIP] == static_cast<greg_t>(reinterpret_cast<std::uintptr_t>(step_end))) {
    registers[REG_EFL] &= ~static_cast<greg_t>(kTrapFlag);
    return;
  }
  if (g_step_count < kMaxSteps) {
    Step& step = g_steps[g_step_count];
    std::transform(kRegisters.begin(), kRegisters.end(), step.begin(),
                   [&](int r) { return static_cast<std::uint64_t>(registers[r]); });
  }
  ++g_step_count;
}

int print_module(dl_phdr_info* info, std::size_t, void*) {
  std::uint64_t begin = UINT64_MAX;
  std::uint64_t end = 0;
  for (unsigned i = 0; i < info->dlpi_phnum; ++i) {
    const auto& header = info->dlpi_phdr[i];
    if (header.p_type != PT_LOAD) continue;
    begin = std::min<std::uint64_t>(begin, info->dlpi_addr + header.p_vaddr);
    end = std::max<std::uint64_t>(end, info->dlpi_addr + header.p_vaddr + header.p_memsz);
  }
  std::printf("module %lx %lx %lx %s\n", info->dlpi_addr, begin, end, info->dlpi_name);
  return 0;
}

std::uint64_t fs_base() {
  std::uint64_t base;
  asm("movq %%fs:0, %0" : "=r"(base));
  return base;
}

// A function of the library under test, called by steps; none where the library has none.
class Stepped {
 public:
  Stepped(const char* path, const char* symbol)
      : path_(path), function_(dlsym(RTLD_DEFAULT, symbol)) {}

  [[nodiscard]] bool exists() const { return function_ != nullptr; }

  [[nodiscard]] std::uint64_t allocate(std::uint64_t a, std::uint64_t b,
                                       std::uint64_t bytes) const {
    const std::uint64_t object = call(a, b);
    print(object, bytes);
    return object;
  }
  void use(std::uint64_t object, std::uint64_t bytes) const {
    call(object, bytes);
    print(object, bytes);
  }

 private:
  std::uint64_t call(std::uint64_t a, std::uint64_t b) const {
    g_step_count = 0;
    const std::uint64_t result = step_call(function_, a, b);
    if (g_step_count == 0) std::exit(kNotStepped);
    return result;
  }
  void print(std::uint64_t object, std::uint64_t bytes) const {
    std::printf("call %lx %lx %lx %zx %s(%lu)\n", object, bytes, fs_base(), g_step_count, path_,
                bytes);
    for (std::size_t i = 0; i < std::min(g_step_count, kMaxSteps); ++i) {
      std::printf("step");
      for (const std::uint64_t value : g_steps[i]) std::printf(" %lx", value);
      std::printf("\n");
    }
  }

  const char* path_;
  void* function_;
};

// A call may have more to do than others of its kind: fast_path.py takes the shortest.
constexpr int kTries = 8;

// Objects allocated, every other one freed: afterwards the thread's cache has both objects and
// room, and no run of memory is about to become empty.
void warm_up(std::size_t bytes) {
  std::array<void*, 64> objects;
  for (void*& object : objects) object = std::malloc(bytes);
  for (std::size_t i = 0; i < objects.size(); i += 2) std::free(objects[i]);
}

// What the next allocation of this size gets was in use.
void prepare(std::size_t bytes) { std::free(std::malloc(bytes)); }

void try_pair(const Stepped& allocate, const Stepped& release, std::size_t bytes) {
  if (!allocate.exists() || !release.exists()) return;
  for (int i = 0; i < kTries; ++i) {
    prepare(bytes);
    release.use(allocate.allocate(bytes, 0, bytes), bytes);
  }
}

// What is no path of every allocator, or no short one.
void try_others(std::size_t bytes) {
  const Stepped calloc_path("calloc", "calloc");
  const Stepped realloc_path("realloc", "realloc");
  const Stepped free_sized_path("free_sized", "free_sized");
  for (int i = 0; i < kTries; ++i) {
    prepare(bytes);
    const std::uint64_t object = calloc_path.allocate(1, bytes, bytes);
    realloc_path.use(object, bytes);
    if (free_sized_path.exists()) {
      free_sized_path.use(object, bytes);
    } else {
      std::free(reinterpret_cast<void*>(object));
    }
  }
}

}  // namespace

int main() {
  static std::array<char, 1 << 16> buffer;  // so that stdio allocates nothing
  std::setvbuf(stdout, buffer.data(), _IOFBF, buffer.size());
  struct sigaction action{};
  action.sa_sigaction = on_trap;
  action.sa_flags = SA_SIGINFO;
  if (sigaction(SIGTRAP, &action, nullptr) != 0) return 1;

  const Stepped malloc_path("malloc", "malloc");
  const Stepped free_path("free", "free");
  const Stepped new_path("new", "_Znwm");
  const Stepped delete_path("delete", "_ZdlPv");
  const Stepped sized_delete_path("sized delete", "_ZdlPvm");
  std::printf("compiler %s\n", FAST_PATH_COMPILER);
  dl_iterate_phdr(print_module, nullptr);
  for (const std::size_t bytes : {16, 1024, 2048, 32768}) {
    warm_up(bytes);
    try_pair(malloc_path, free_path, bytes);
    try_pair(new_path, delete_path, bytes);
    try_pair(new_path, sized_delete_path, bytes);
  }
  try_others(16);
  return 0;
}
