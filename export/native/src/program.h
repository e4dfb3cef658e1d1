// What a program is made of: buffers, steps over them, and the memory of a call; shared by the files of the C interface.
#pragma once

#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "plan.h"
#include "threads.h"

namespace dd {

struct Call;

struct Buffer {
  int64_t floats;
  int input = -1, output = -1;
  int first = 1 << 30, last = -1;  // steps that use it
  int64_t place = 0;               // floats per sample before it in the arena
};

// What a step works on; its pointers are made when it runs.
struct Step {
  std::function<void(Call&)> run;
  std::vector<int> reads, writes;
};

// One call in flight: the values between its steps.
struct Arena {
  float* memory = nullptr;
  int64_t batch = 0;
  ~Arena() {
    if (memory != nullptr) free_floats(memory);
  }
};

// What blocks work in, one for each thread of a call. All programs of the process share them: what one of them used last is still
// in the cache when the next one runs, where an engine makes a program of every layer.
class Scratch {
 public:
  Scratch(int count, long floats);
  ~Scratch();
  float* operator[](int thread) const { return taken_[static_cast<size_t>(thread)].memory; }
  // Programs that are there; without any, all memory is given back.
  static void programs(int change);

 private:
  struct Piece {
    float* memory;
    long floats;
  };
  std::vector<Piece> taken_;
  static std::mutex guard_;
  static std::vector<Piece> idle_;
  static int programs_;
  static size_t out_;  // pieces that calls have
};

}  // namespace dd

struct DdProgram {
  const dd::Kernels* kernels;
  dd::Threads threads;
  dd::Constants* constants = dd::new_constants();
  std::vector<dd::Buffer> buffers;
  std::vector<dd::Step> steps;
  std::vector<int> inputs, outputs;
  long scratch = 64;
  int64_t arena_floats = 0;
  bool ready = false;
  std::mutex guard;
  std::vector<std::unique_ptr<dd::Arena>> idle;

  DdProgram(const dd::Kernels* k, int count) : kernels(k), threads(count) { dd::Scratch::programs(1); }
  ~DdProgram() {
    dd::free_constants(constants);
    dd::Scratch::programs(-1);
  }
};

namespace dd {

struct Call {
  DdProgram& program;
  Arena& arena;
  Scratch& scratch;
  int64_t batch;
  const float* const* inputs;
  float* const* outputs;

  float* at(int buffer) const {
    const Buffer& b = program.buffers[buffer];
    if (b.output >= 0) return outputs[b.output];
    if (b.input >= 0) return const_cast<float*>(inputs[b.input]);  // a step never writes its inputs
    return arena.memory + b.place * batch;
  }
};

// Remembers what dd_error() says; returns 1.
int failed(const std::string& message);
Io io_of(const Call& call, DdRows x, DdRows added, DdRows y);
// Whether `positions` rows of `channels` fit a buffer.
bool fits(const DdProgram& p, DdRows rows, int64_t positions, int channels);
int add(DdProgram* p, std::vector<int> reads, std::vector<int> writes, std::function<void(Call&)> run);

template <typename Function>
int guarded(Function function) {
  try {
    return function();
  } catch (const std::exception& error) {
    return failed(error.what());
  } catch (...) {
    return failed("unknown failure");
  }
}

}  // namespace dd
