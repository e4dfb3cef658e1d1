#include "threads.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <cstring>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace dd {

namespace {

// The next step of a program mostly comes sooner than a thread wakes up.
template <typename Condition>
void spin(const Condition& met) {
  for (int turn = 0; turn < 2000 && !met(); ++turn) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
  }
}

}  // namespace

struct Threads::State {
  int count;
  std::vector<std::thread> workers;
  std::mutex owner;  // held by the call that has the workers
  std::mutex guard;
  std::condition_variable wake, done;
  const std::function<void(int, long, int)>* work = nullptr;
  long total = 0, block = 0;
  std::atomic<long> next{0};
  std::atomic<int> generation{0}, busy{0};
  std::atomic<bool> stop{false};
  std::exception_ptr error;

  void take(int thread) {
    try {
      for (;;) {
        const long first = next.fetch_add(block);
        if (first >= total) return;
        (*work)(thread, first, static_cast<int>(std::min(block, total - first)));
      }
    } catch (...) {
      std::lock_guard<std::mutex> lock(guard);
      error = std::current_exception();
      next = total;
    }
  }

  void serve(int thread) {
    int seen = 0;
    for (;;) {
      spin([&] { return stop || generation != seen; });
      {
        std::unique_lock<std::mutex> lock(guard);
        wake.wait(lock, [&] { return stop || generation != seen; });
        if (stop) return;
        seen = generation;
      }
      take(thread);
      std::lock_guard<std::mutex> lock(guard);
      if (--busy == 0) done.notify_one();
    }
  }
};

Threads::Threads(int count) : state_(std::make_unique<State>()) {
  state_->count = count;
  for (int thread = 1; thread < count; ++thread) state_->workers.emplace_back([this, thread] { state_->serve(thread); });
}

Threads::~Threads() {
  {
    std::lock_guard<std::mutex> lock(state_->guard);
    state_->stop = true;
  }
  state_->wake.notify_all();
  for (auto& worker : state_->workers) worker.join();
}

int Threads::count() const { return state_->count; }

void Threads::blocks(long total, int most, int multiple, const std::function<void(int, long, int)>& work) {
  State& s = *state_;
  const auto cut = [&](long shares) {
    const long pieces = std::max(shares, (total + most - 1) / most);
    const long size = (total + pieces - 1) / pieces;
    return std::min<long>(most, std::max<long>(1, (size + multiple - 1) / multiple * multiple));
  };
  std::unique_lock<std::mutex> mine(s.owner, std::defer_lock);
  if (s.count == 1 || total < 2 * multiple || !mine.try_lock()) {
    const long block = cut(1);
    for (long first = 0; first < total; first += block) work(0, first, static_cast<int>(std::min(block, total - first)));
    return;
  }
  {
    std::lock_guard<std::mutex> lock(s.guard);
    s.work = &work;
    s.total = total;
    s.block = cut(s.count);
    s.next = 0;
    s.busy = s.count - 1;
    ++s.generation;
  }
  s.wake.notify_all();
  s.take(0);
  spin([&] { return s.busy == 0; });
  std::unique_lock<std::mutex> lock(s.guard);
  s.done.wait(lock, [&] { return s.busy == 0; });
  if (s.error) {
    std::exception_ptr error = s.error;
    s.error = nullptr;
    std::rethrow_exception(error);
  }
}

namespace {

std::vector<const Kernels*> available() {
  std::vector<const Kernels*> found;
#if defined(DD_HAS_AVX512)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512cd") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("bmi2") &&
      __builtin_cpu_supports("fma")) {
    found.push_back(avx512_kernels());
  }
#endif
#if defined(DD_HAS_AVX2)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2")) found.push_back(avx2_kernels());
#endif
  found.push_back(portable_kernels());
  return found;
}

}  // namespace

const Kernels* kernels_named(const char* name) {
  for (const Kernels* each : available()) {
    if (*name == '\0' || std::strcmp(each->name, name) == 0) return each;
  }
  return nullptr;
}

}  // namespace dd

DD_EXPORT const char* dd_instruction_sets() {
  static const std::string names = [] {
    std::string all;
    for (const dd::Kernels* each : dd::available()) all += (all.empty() ? "" : " ") + std::string(each->name);
    return all;
  }();
  return names.c_str();
}
