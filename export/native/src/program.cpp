// Programs: their life, their buffers, and how they run.
#include "program.h"

#include <algorithm>

namespace dd {

namespace {

thread_local std::string last_error;

}  // namespace

std::mutex Scratch::guard_;
std::vector<Scratch::Piece> Scratch::idle_;
int Scratch::programs_ = 0;
size_t Scratch::out_ = 0;

Scratch::Scratch(int count, long floats) {
  std::lock_guard<std::mutex> lock(guard_);
  taken_.reserve(static_cast<size_t>(count));
  idle_.reserve(idle_.size() + out_ + static_cast<size_t>(count));  // so that the destructor cannot fail
  while (static_cast<int>(taken_.size()) < count) {
    Piece piece{nullptr, 0};
    if (!idle_.empty()) {
      piece = idle_.back();
      idle_.pop_back();
    }
    if (piece.floats < floats) {
      if (piece.memory != nullptr) free_floats(piece.memory);
      try {
        piece = {aligned_floats(static_cast<size_t>(floats)), floats};
      } catch (...) {
        for (const Piece& each : taken_) free_floats(each.memory);
        throw;
      }
    }
    taken_.push_back(piece);
  }
  out_ += taken_.size();
}

Scratch::~Scratch() {
  std::lock_guard<std::mutex> lock(guard_);
  out_ -= taken_.size();
  // The calling thread's is the next one to be taken.
  for (auto piece = taken_.rbegin(); piece != taken_.rend(); ++piece) idle_.push_back(*piece);
}

void Scratch::programs(int change) {
  std::lock_guard<std::mutex> lock(guard_);
  programs_ += change;
  if (programs_ > 0) return;
  for (const Piece& each : idle_) free_floats(each.memory);
  idle_.clear();
}

int failed(const std::string& message) {
  last_error = message;
  return 1;
}

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

namespace {

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

}  // namespace
}  // namespace dd

using namespace dd;

DD_EXPORT int32_t dd_abi_version() { return DD_ABI_VERSION; }
DD_EXPORT const char* dd_error() { return dd::last_error.c_str(); }

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
    if (arena->batch < batch) {
      if (arena->memory != nullptr) dd::free_floats(arena->memory);
      arena->memory = nullptr;
      arena->memory = dd::aligned_floats(static_cast<size_t>(p->arena_floats * batch + 64));
      arena->batch = batch;
    }
    {
      Scratch scratch(p->threads.count(), p->scratch);
      Call call{*p, *arena, scratch, batch, inputs, outputs};
      for (Step& step : p->steps) step.run(call);
    }
    std::lock_guard<std::mutex> lock(p->guard);
    p->idle.push_back(std::move(arena));
    return 0;
  });
}
