// The steps of programs: what each reads and writes, checked when it is added.
#include <algorithm>

#include "program.h"

using namespace dd;

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
                                  [&](int thread, long first, int count) { block(*conv, io, first, count, call.scratch[thread]); });
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
