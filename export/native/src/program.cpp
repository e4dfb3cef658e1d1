// Programs: steps over buffers, run on one thread or several; and the C interface.
#include <algorithm>
#include <atomic>
#include <cstring>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "plan.h"
#include "threads.h"

using dd::Conv;
using dd::Io;
using dd::Kernels;

namespace {

thread_local std::string last_error;

int failed(const std::string& message) {
  last_error = message;
  return 1;
}

struct Buffer {
  int64_t floats;
  int input = -1, output = -1;
  int first = 1 << 30, last = -1;  // steps that use it
  int64_t place = 0;               // floats per sample before it in the arena
};

// What a step works on; its pointers are made when it runs.
struct Step {
  std::function<void(struct Call&)> run;
  std::vector<int> reads, writes;
};

// One call in flight.
struct Arena {
  std::vector<float*> scratch;
  float* memory = nullptr;
  int64_t batch = 0;
  ~Arena() {
    for (float* each : scratch) dd::free_floats(each);
    if (memory != nullptr) dd::free_floats(memory);
  }
};

}  // namespace

struct DdProgram {
  const Kernels* kernels;
  dd::Threads threads;
  dd::Constants* constants = dd::new_constants();
  std::vector<Buffer> buffers;
  std::vector<Step> steps;
  std::vector<int> inputs, outputs;
  long scratch = 64;
  int64_t arena_floats = 0;
  bool ready = false;
  std::mutex guard;
  std::vector<std::unique_ptr<Arena>> idle;

  DdProgram(const Kernels* k, int count) : kernels(k), threads(count) {}
  ~DdProgram() { dd::free_constants(constants); }
};

namespace {

struct Call {
  DdProgram& program;
  Arena& arena;
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

Io io_of(const Call& call, DdRows x, DdRows added, DdRows y) {
  Io io{};
  const auto& buffers = call.program.buffers;
  io.x = call.at(x.buffer) + x.offset;
  io.x_row = x.stride;
  io.x_sample = buffers[x.buffer].floats;
  if (added.buffer >= 0) {
    io.added = call.at(added.buffer) + added.offset;
    io.added_row = added.stride;
    io.added_sample = buffers[added.buffer].floats;
  }
  io.y = call.at(y.buffer) + y.offset;
  io.y_row = y.stride;
  io.y_sample = buffers[y.buffer].floats;
  return io;
}

// Whether `positions` rows of `channels` fit a buffer.
bool fits(const DdProgram& p, DdRows rows, int64_t positions, int channels) {
  if (rows.buffer < 0 || rows.buffer >= static_cast<int>(p.buffers.size()) || rows.offset < 0 || rows.stride < channels) return false;
  return rows.offset + (positions - 1) * rows.stride + channels <= p.buffers[rows.buffer].floats;
}

int add(DdProgram* p, std::vector<int> reads, std::vector<int> writes, std::function<void(Call&)> run) {
  if (p->ready) return failed("the program is ready: nothing can be added");
  for (int each : writes) {
    if (p->buffers[each].input >= 0) return failed("a step writes an input");
  }
  reads.erase(std::remove(reads.begin(), reads.end(), -1), reads.end());
  p->steps.push_back({std::move(run), std::move(reads), std::move(writes)});
  return 0;
}

// Buffers that are in use at the same time get places of their own.
void place_buffers(DdProgram& p) {
  const int last_step = static_cast<int>(p.steps.size());
  for (int s = 0; s < last_step; ++s) {
    for (const auto* uses : {&p.steps[s].reads, &p.steps[s].writes}) {
      for (int each : *uses) {
        p.buffers[each].first = std::min(p.buffers[each].first, s);
        p.buffers[each].last = std::max(p.buffers[each].last, s);
      }
    }
  }
  std::vector<int> order;
  for (int b = 0; b < static_cast<int>(p.buffers.size()); ++b) {
    if (p.buffers[b].input < 0 && p.buffers[b].output < 0 && p.buffers[b].last >= 0) order.push_back(b);
  }
  std::sort(order.begin(), order.end(), [&](int a, int b) { return p.buffers[a].floats > p.buffers[b].floats; });
  std::vector<int> placed;
  for (int b : order) {
    Buffer& mine = p.buffers[b];
    int64_t place = 0;
    bool moved = true;
    while (moved) {
      moved = false;
      for (int other : placed) {
        const Buffer& o = p.buffers[other];
        const bool together = mine.first <= o.last && o.first <= mine.last;
        if (together && place < o.place + o.floats && o.place < place + mine.floats) {
          place = (o.place + o.floats + 15) / 16 * 16;
          moved = true;
        }
      }
    }
    mine.place = place;
    p.arena_floats = std::max(p.arena_floats, place + mine.floats);
    placed.push_back(b);
  }
}

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

}  // namespace

DD_EXPORT int32_t dd_abi_version() { return DD_ABI_VERSION; }
DD_EXPORT const char* dd_error() { return last_error.c_str(); }

DD_EXPORT DdProgram* dd_new(const char* instructions, int32_t threads) {
  const Kernels* kernels = dd::kernels_named(instructions == nullptr ? "" : instructions);
  if (kernels == nullptr) {
    failed(std::string("no such instruction set here: ") + instructions);
    return nullptr;
  }
  if (threads < 1 || threads > 1024) {
    failed("threads: from 1 to 1024");
    return nullptr;
  }
  DdProgram* program = nullptr;
  guarded([&] {
    program = new DdProgram(kernels, threads);
    return 0;
  });
  return program;
}

DD_EXPORT void dd_free(DdProgram* program) { delete program; }
DD_EXPORT const char* dd_instructions(const DdProgram* p) { return p->kernels->name; }
DD_EXPORT int64_t dd_constant_bytes(const DdProgram* p) { return static_cast<int64_t>(dd::bytes_of(p->constants)); }

DD_EXPORT int32_t dd_buffer(DdProgram* p, int64_t floats) {
  if (floats < 1 || floats > (1LL << 40)) {
    failed("a buffer holds at least one float");
    return -1;
  }
  Buffer buffer{};
  buffer.floats = floats;
  buffer.input = buffer.output = -1;
  buffer.first = 1 << 30;
  buffer.last = -1;
  p->buffers.push_back(buffer);
  return static_cast<int32_t>(p->buffers.size() - 1);
}

DD_EXPORT int32_t dd_input(DdProgram* p, int32_t buffer) {
  if (buffer < 0 || buffer >= static_cast<int>(p->buffers.size())) return failed("no such buffer");
  p->buffers[buffer].input = static_cast<int>(p->inputs.size());
  p->inputs.push_back(buffer);
  return 0;
}

DD_EXPORT int32_t dd_output(DdProgram* p, int32_t buffer) {
  if (buffer < 0 || buffer >= static_cast<int>(p->buffers.size()) || p->buffers[buffer].input >= 0) return failed("no such buffer");
  p->buffers[buffer].output = static_cast<int>(p->outputs.size());
  p->outputs.push_back(buffer);
  return 0;
}

DD_EXPORT int32_t dd_conv(DdProgram* p, const DdConv* spec, const float* weight, const float* bias, DdRows x, DdRows added, DdRows y) {
  return guarded([&] {
    const char* reason = nullptr;
    const int64_t in = static_cast<int64_t>(spec->in_size[0]) * spec->in_size[1];
    const int64_t out = static_cast<int64_t>(spec->out_size[0]) * spec->out_size[1];
    if (!fits(*p, x, in, spec->in_channels) || !fits(*p, y, out, spec->out_channels)) return failed("a buffer is too small");
    if (added.buffer >= 0 && !fits(*p, added, out, spec->out_channels)) return failed("the buffer of the sum is too small");
    Conv* conv = dd::make_conv(p->constants, p->kernels, *spec, weight, bias, &reason);
    if (conv == nullptr) return failed(reason);
    dd::set_merged(conv, x.stride == spec->in_channels);
    p->scratch = std::max(p->scratch, conv->scratch);
    return add(p, {x.buffer, added.buffer}, {y.buffer}, [conv, x, added, y](Call& call) {
      const Io io = io_of(call, x, added, y);
      const Kernels& k = *conv->kernels;
      const auto block = conv->spec.algorithm == DD_FFT      ? k.fft_block
                         : conv->spec.algorithm == DD_DIRECT ? k.direct_block
                                                             : k.depthwise_block;
      call.program.threads.blocks(conv->tiles * call.batch, conv->block, conv->spec.algorithm == DD_FFT ? 4 : k.rows,
                                  [&](int thread, long first, int count) { block(*conv, io, first, count, call.arena.scratch[thread]); });
    });
  });
}

DD_EXPORT int32_t dd_pool(DdProgram* p, const DdPool* given, DdRows x, DdRows y) {
  return guarded([&] {
    const DdPool pool = *given;
    const int64_t in = static_cast<int64_t>(pool.in_size[0]) * pool.in_size[1];
    const int64_t out = static_cast<int64_t>(pool.out_size[0]) * pool.out_size[1];
    if (!fits(*p, x, in, pool.channels) || !fits(*p, y, out, pool.channels)) return failed("a buffer is too small");
    return add(p, {x.buffer}, {y.buffer}, [pool, out, x, y](Call& call) {
      const Io io = io_of(call, x, {-1, 0, 0}, y);
      const auto run = call.program.kernels->pool;
      call.program.threads.blocks(out * call.batch, 256, 1, [&](int, long first, int count) { run(pool, io, first, count); });
    });
  });
}

namespace {

// Rows of all samples, which may lie apart: `work(io, count)` for a stretch of them.
template <typename Work>
void by_rows(Call& call, int positions, DdRows x, DdRows added, DdRows y, const Work& work) {
  const Io whole = io_of(call, x, added, y);
  call.program.threads.blocks(static_cast<long>(positions) * call.batch, 512, 1, [&](int, long first, int count) {
    for (long at = first, end = first + count; at < end;) {
      const long sample = at / positions, row = at % positions;
      const long rows = std::min(end - at, positions - row);
      Io io = whole;
      io.x += sample * io.x_sample + row * io.x_row;
      io.y += sample * io.y_sample + row * io.y_row;
      if (io.added != nullptr) io.added += sample * io.added_sample + row * io.added_row;
      work(io, rows);
      at += rows;
    }
  });
}

std::shared_ptr<std::vector<float>> copied(const float* values, int count) {
  return values == nullptr ? nullptr : std::make_shared<std::vector<float>>(values, values + count);
}

const float* of(const std::shared_ptr<std::vector<float>>& values) { return values == nullptr ? nullptr : values->data(); }

}  // namespace

DD_EXPORT int32_t dd_affine(DdProgram* p, int32_t positions, int32_t channels, const float* scale, const float* shift,
                            int32_t activation, DdRows x, DdRows added, DdRows y) {
  return guarded([&] {
    if (positions < 1 || channels < 1 || activation < DD_NONE || activation > DD_TANH) return failed("no such step");
    if (!fits(*p, x, positions, channels) || !fits(*p, y, positions, channels)) return failed("a buffer is too small");
    if (added.buffer >= 0 && !fits(*p, added, positions, channels)) return failed("the buffer of the sum is too small");
    const auto factors = copied(scale, channels), shifts = copied(shift, channels);
    return add(p, {x.buffer, added.buffer}, {y.buffer}, [=](Call& call) {
      const auto run = call.program.kernels->affine;
      by_rows(call, positions, x, added, y, [&](const Io& io, long rows) { run(rows, channels, of(factors), of(shifts), activation, io); });
    });
  });
}

DD_EXPORT int32_t dd_layer_norm(DdProgram* p, int32_t positions, int32_t channels, const float* scale, const float* shift,
                                float epsilon, DdRows x, DdRows y) {
  return guarded([&] {
    if (positions < 1 || channels < 1 || scale == nullptr) return failed("no such step");
    if (!fits(*p, x, positions, channels) || !fits(*p, y, positions, channels)) return failed("a buffer is too small");
    const auto factors = copied(scale, channels), shifts = copied(shift, channels);
    return add(p, {x.buffer}, {y.buffer}, [=](Call& call) {
      const auto run = call.program.kernels->layer_norm;
      by_rows(call, positions, x, {-1, 0, 0}, y, [&](const Io& io, long rows) { run(rows, channels, of(factors), of(shifts), epsilon, io); });
    });
  });
}

DD_EXPORT int32_t dd_transpose(DdProgram* p, int32_t rows, int32_t columns, int32_t x, int32_t y) {
  return guarded([&] {
    const int64_t size = static_cast<int64_t>(rows) * columns;
    if (rows < 1 || columns < 1 || !fits(*p, {x, 0, 1}, size, 1) || !fits(*p, {y, 0, 1}, size, 1)) return failed("a buffer is too small");
    return add(p, {x}, {y}, [=](Call& call) {
      const float* from = call.at(x);
      float* to = call.at(y);
      const int64_t from_sample = call.program.buffers[x].floats, to_sample = call.program.buffers[y].floats;
      constexpr int kTile = 16;
      const int64_t strips = dd::ceil_div(columns, kTile);
      call.program.threads.blocks(strips * call.batch, 8, 1, [&](int, long first, int count) {
        for (long each = first; each < first + count; ++each) {
          const float* source = from + each / strips * from_sample;
          float* target = to + each / strips * to_sample;
          const int low = static_cast<int>(each % strips) * kTile, high = std::min(low + kTile, columns);
          for (int row = 0; row < rows; row += kTile) {
            const int end = std::min(row + kTile, rows);
            for (int c = low; c < high; ++c) {
              for (int r = row; r < end; ++r) target[static_cast<int64_t>(c) * rows + r] = source[static_cast<int64_t>(r) * columns + c];
            }
          }
        }
      });
    });
  });
}

DD_EXPORT int32_t dd_ready(DdProgram* p) {
  return guarded([&] {
    if (p->outputs.empty()) return failed("the program has no output");
    place_buffers(*p);
    p->ready = true;
    return 0;
  });
}

DD_EXPORT int32_t dd_run(DdProgram* p, int64_t batch, const float* const* inputs, float* const* outputs) {
  return guarded([&] {
    if (!p->ready || batch < 1) return failed("the program is not ready, or the batch is empty");
    std::unique_ptr<Arena> arena;
    {
      std::lock_guard<std::mutex> lock(p->guard);
      if (!p->idle.empty()) {
        arena = std::move(p->idle.back());
        p->idle.pop_back();
      }
    }
    if (arena == nullptr) arena = std::make_unique<Arena>();
    while (static_cast<int>(arena->scratch.size()) < p->threads.count()) {
      arena->scratch.push_back(dd::aligned_floats(static_cast<size_t>(p->scratch)));
    }
    if (arena->batch < batch) {
      if (arena->memory != nullptr) dd::free_floats(arena->memory);
      arena->memory = nullptr;
      arena->memory = dd::aligned_floats(static_cast<size_t>(p->arena_floats * batch + 64));
      arena->batch = batch;
    }
    Call call{*p, *arena, batch, inputs, outputs};
    for (Step& step : p->steps) step.run(call);
    std::lock_guard<std::mutex> lock(p->guard);
    p->idle.push_back(std::move(arena));
    return 0;
  });
}
