// A block of tiles of a convolution: gather and transform, multiply frequency by frequency, transform back and store.
// The spectra of a block stay in the second-level cache; the taps are read once per block.
#pragma once

#include "gemm.h"
#include "plan.h"
#include "transform.h"

namespace dd {
namespace DD_NAMESPACE {

constexpr int kMostRows = 4096;  // of a tile: all its positions

// Where a tile lies: its sample, and tile (q, p) along either axis.
struct Place {
  long sample;
  int row_q, row_p, col_q, col_p;
};

static Place place_of(const Conv& c, long index) {
  Place at;
  at.sample = index / c.tiles;
  const int tile = static_cast<int>(index % c.tiles);
  const int row = tile / c.cols.columns, col = tile % c.cols.columns;
  at.row_q = row / c.rows.phases;
  at.row_p = row % c.rows.phases;
  at.col_q = col / c.cols.phases;
  at.col_p = col % c.cols.phases;
  return at;
}

// The input that position t of a tile reads along one axis, for one split of a stride; -1 is padding.
static int source(const Axis& a, int q, int p, int t, int split) {
  const long n = (static_cast<long>(q) * a.outputs + t) * a.dilation + p;
  const long index = a.stride * n + static_cast<long>(a.dilation) * split - a.before;
  return index >= 0 && index < a.extent ? static_cast<int>(index) : -1;
}

// The spectra of a block: [frequency][2][tile][channel]. Those of the outputs begin one frequency before those of the inputs, so
// that what is written replaces what was read already.
struct Buffers {
  float* inputs;
  float* outputs;
  float* sums;    // [tiles][depth]: real and imaginary parts of one frequency, added
  float* corner;  // [T1][H2] complex vectors, between the axes
  Complex buffer[kMostPoints];
};

static void forward(const Conv& c, const Io& io, int group, const Place& at, Buffers& b, float* spectrum) {
  const Axis &rows = c.rows, &cols = c.cols;
  const int half = cols.tile / 2, width = cols.tile;
  const float* input = io.x + at.sample * io.x_sample + static_cast<long>(group) * c.group_in;
  const float* pointers[kMostRows];
  bool empty[256];
  const Passes &pass1 = kPasses[cols.first], &pass2 = kPasses[cols.second];
  for (int split = 0; split < c.splits; ++split) {
    const int row_split = split / cols.splits, col_split = split % cols.splits;
    for (int h = 0; h < rows.tile; ++h) {
      const int row = source(rows, at.row_q, at.row_p, h, row_split);
      empty[h] = row < 0;
      if (row < 0) continue;
      const float* line = input + static_cast<long>(row) * c.spec.in_size[1] * io.x_row;
      for (int t = 0; t < width; ++t) {
        const int col = source(cols, at.col_q, at.col_p, t, col_split);
        pointers[h * width + t] = col < 0 ? c.zeros : line + col * io.x_row;
      }
    }
    for (int channel = 0; channel < c.group_in; channel += W) {
      const int lanes = c.group_in - channel;
      float* to = spectrum + split * c.in_padded + channel;
      const Plane spread = {to, to + c.plane, 2 * c.plane};
      if (rows.tile == 1) {
        if (empty[0]) {
          for (int f = 0; f < half; ++f) put(spread, f, {Vec{}, Vec{}});
          continue;
        }
        pass1.first_of_rows(pointers, channel, lanes, cols.second, c.rotation, c.col_twiddles, b.buffer);
        pass2.second(b.buffer, cols.first, spread);
        continue;
      }
      for (int h = 0; h < rows.tile; ++h) {
        float* line = b.corner + 2L * W * h * half;
        if (empty[h]) {
          std::memset(line, 0, sizeof(float) * 2 * W * static_cast<unsigned>(half));
          continue;
        }
        pass1.first_of_rows(pointers + h * width, channel, lanes, cols.second, c.rotation, c.col_twiddles, b.buffer);
        pass2.second(b.buffer, cols.first, {line, line + W, 2 * W});
      }
      for (int f = 0; f < half; ++f) {
        float* from = b.corner + 2L * W * f;
        const long base = 2L * c.plane * rows.tile * f;
        kPasses[rows.first].first({from, from + W, 2L * W * half}, rows.second, c.row_twiddles, b.buffer);
        kPasses[rows.second].second(b.buffer, rows.first, {to + base, to + base + c.plane, 2 * c.plane});
      }
    }
  }
}

static void multiply(const Conv& c, int group, int count, Buffers& b) {
  const float* taps = c.taps + c.tap_group * group;
  const long per_frequency = 2L * c.depth * c.out_packed;
  for (int f = 0; f < c.frequencies; ++f) {
    const float* real = b.inputs + 2L * f * c.plane;
    const float* imaginary = real + c.plane;
    float* to = b.outputs + 2L * f * c.plane;
    for (int m = 0; m < count; ++m) {
      const long row = m * c.row;
      for (int k = 0; k < c.in_row; k += W) store(b.sums + row + k, load(real + row + k) + load(imaginary + row + k));
    }
    complex_product(c.depth, count, real, imaginary, b.sums, c.row, taps + f * per_frequency, c.out_packed, to, to + c.plane, c.row);
  }
}

static void backward(const Conv& c, const Io& io, int group, const Place& at, Buffers& b, float* spectrum) {
  const Axis &rows = c.rows, &cols = c.cols;
  const int half = cols.tile / 2, width = cols.tile;
  float* y[kMostRows];
  const float* added[kMostRows];
  int last_row = -1;
  const long first_channel = static_cast<long>(group) * c.group_out;
  for (int h = 0; h < rows.outputs; ++h) {
    const long row = (static_cast<long>(at.row_q) * rows.outputs + h) * rows.dilation + at.row_p;
    if (row >= rows.length) break;
    last_row = h;
    for (int t = 0; t < width; ++t) {
      const long col = (static_cast<long>(at.col_q) * cols.outputs + t) * cols.dilation + at.col_p;
      const bool wanted = t < cols.outputs && col < cols.length;
      const long position = row * cols.length + col;
      y[h * width + t] = wanted ? io.y + at.sample * io.y_sample + position * io.y_row + first_channel : nullptr;
      if (io.added != nullptr && wanted) {
        added[h * width + t] = io.added + at.sample * io.added_sample + position * io.added_row + first_channel;
      }
    }
  }
  const Passes &pass1 = kPasses[cols.first], &pass2 = kPasses[cols.second];
  for (int channel = 0; channel < c.group_out; channel += W) {
    float* from = spectrum + channel;
    Epilogue e;
    e.bias = load(c.bias + static_cast<long>(group) * c.out_padded + channel);
    e.channel = channel;
    e.lanes = c.group_out - channel;
    e.relu_before = dd_relu_before(c.spec.activation);
    e.relu_after = dd_relu_after(c.spec.activation);
    if (rows.tile > 1) {
      for (int f = 0; f < half; ++f) {
        float* at_f = from + 2L * c.plane * rows.tile * f;
        float* to = b.corner + 2L * W * f;
        kPasses[rows.second].back_first({at_f + c.plane, at_f, 2 * c.plane}, rows.first, c.row_twiddles, b.buffer);
        kPasses[rows.first].back_second(b.buffer, rows.second, {to, to + W, 2L * W * half}, rows.outputs);
      }
    }
    for (int h = 0; h <= last_row; ++h) {
      float* line = b.corner + 2L * W * h * half;
      const Plane x = rows.tile > 1 ? Plane{line, line + W, 2 * W} : Plane{from + c.plane, from, 2 * c.plane};
      e.y = y + h * width;
      e.added = io.added == nullptr ? nullptr : added + h * width;
      pass2.back_first(x, cols.first, c.col_twiddles, b.buffer);
      pass1.back_to_rows(b.buffer, cols.second, c.rotation, e);
    }
  }
}

static void fft_block(const Conv& c, const Io& io, long first, int count, float* scratch) {
  Buffers b;
  b.outputs = scratch;
  b.inputs = b.outputs + 2L * c.plane;
  b.sums = b.inputs + 2L * c.frequencies * c.plane;
  b.corner = b.sums + c.block * c.row;
  for (int group = 0; group < c.spec.groups; ++group) {
    for (int m = 0; m < count; ++m) forward(c, io, group, place_of(c, first + m), b, b.inputs + m * c.row);
    multiply(c, group, count, b);
    for (int m = 0; m < count; ++m) backward(c, io, group, place_of(c, first + m), b, b.outputs + m * c.row);
  }
}

}  // namespace DD_NAMESPACE
}  // namespace dd
