// Direct convolutions: sums over taps with the outputs in registers, and depthwise ones with the channels in the lanes.
#pragma once

#include "gemm.h"
#include "plan.h"

namespace dd {
namespace DD_NAMESPACE {

constexpr int kMostTaps = 1024;

struct Position {
  long sample;
  int row, col;
};

static Position position_of(const Conv& c, long index) {
  const int width = c.spec.out_size[1];
  const long positions = static_cast<long>(c.spec.out_size[0]) * width;
  const long within = index % positions;
  return {index / positions, static_cast<int>(within / width), static_cast<int>(within % width)};
}

static int source_row(const Conv& c, int row, int tap) {
  const int index = row * c.spec.stride[0] + tap * c.spec.dilation[0] - c.spec.before[0];
  return index >= 0 && index < c.spec.in_size[0] ? index : -1;
}

template <int M, int N>
static void store_direct(const Conv& c, const Io& io, long first, int group, int channel, Vec (&sum)[M][N]) {
  const float* bias = c.bias + static_cast<long>(group) * c.out_padded + channel;
  const long to = static_cast<long>(group) * c.group_out + channel;
  const bool before = dd_relu_before(c.spec.activation), after = dd_relu_after(c.spec.activation);
  const long positions = static_cast<long>(c.spec.out_size[0]) * c.spec.out_size[1];
  for (int m = 0; m < M; ++m) {
    const long sample = (first + m) / positions, within = (first + m) % positions;
    float* y = io.y + sample * io.y_sample + within * io.y_row + to;
    const float* added = io.added == nullptr ? nullptr : io.added + sample * io.added_sample + within * io.added_row + to;
    DD_UNROLL for (int n = 0; n < N; ++n) {
      const int lanes = c.group_out - channel - n * W;
      Vec v = sum[m][n] + load(bias + n * W);
      if (before) v = relu(v);
      if (added != nullptr) v += load_some(added + n * W, lanes);
      if (after) v = relu(v);
      store_some(y + n * W, v, lanes);
    }
  }
}

// Where the taps of M outputs find their rows.
struct Reads {
  const float* rows[kMostTaps * DR];
  const float* packed[kMostTaps];
  int taps;
  long ld;
  bool pointers;
};

template <int M>
static void find_rows(const Conv& c, const Io& io, long first, int group, const float* packed, int panel, float* edge, Reads& reads) {
  const DdConv& s = c.spec;
  Position at[M];
  for (int m = 0; m < M; ++m) at[m] = position_of(c, first + m);
  const float* input = io.x + static_cast<long>(group) * c.group_in;
  const int row_taps = c.merged ? 1 : s.kernel[1];
  const int depth = c.merged ? c.group_in * s.kernel[1] : c.group_in;
  const int low = at[0].col * s.stride[1] - s.before[1];
  const int high = at[M - 1].col * s.stride[1] - s.before[1] + (s.kernel[1] - 1) * s.dilation[1];
  const bool one_line = at[0].sample == at[M - 1].sample && at[0].row == at[M - 1].row;
  reads.pointers = !one_line || low < 0 || high >= s.in_size[1];
  reads.ld = s.stride[1] * io.x_row;
  reads.taps = 0;
  for (int a = 0; a < s.kernel[0]; ++a) {
    const int row = source_row(c, at[0].row, a);
    if (one_line && row < 0) continue;
    for (int b = 0; b < row_taps; ++b) {
      const int tap = reads.taps++;
      reads.packed[tap] = packed + static_cast<long>(a * row_taps + b) * depth * panel;
      const int offset = b * s.dilation[1] - s.before[1];
      if (!reads.pointers) {
        const long position = static_cast<long>(row) * s.in_size[1] + at[0].col * s.stride[1] + offset;
        reads.rows[tap] = input + at[0].sample * io.x_sample + position * io.x_row;
        continue;
      }
      bool alive = false;
      for (int m = 0; m < M; ++m) {
        const int line = source_row(c, at[m].row, a), col = at[m].col * s.stride[1] + offset;
        const float* base = input + at[m].sample * io.x_sample + static_cast<long>(line) * s.in_size[1] * io.x_row;
        const float*& pointer = reads.rows[tap * DR + m];
        if (!c.merged) {
          const bool inside = line >= 0 && col >= 0 && col < s.in_size[1];
          pointer = inside ? base + col * io.x_row : c.zeros;
          alive |= inside;
        } else if (line < 0) {
          pointer = c.zeros;
        } else if (col >= 0 && col + s.kernel[1] <= s.in_size[1]) {
          pointer = base + col * io.x_row;
        } else {  // part of the taps of this row of the kernel meet padding
          float* copy = edge + static_cast<long>(tap * DR + m) * depth;
          for (int t = 0; t < s.kernel[1]; ++t) {
            const bool inside = col + t >= 0 && col + t < s.in_size[1];
            const float* from = inside ? base + (col + t) * io.x_row : c.zeros;
            std::memcpy(copy + static_cast<long>(t) * c.group_in, from, sizeof(float) * static_cast<unsigned>(c.group_in));
          }
          pointer = copy;
        }
      }
      if (!c.merged && !alive) --reads.taps;  // of these outputs, all read padding there
    }
  }
}

template <int M>
static void direct_positions(const Conv& c, const Io& io, long first, int group, int channel, const float* packed, float* edge) {
  const bool whole = channel + PANEL <= c.out_padded;
  const int depth = c.merged ? c.group_in * c.spec.kernel[1] : c.group_in;
  Reads reads;
  find_rows<M>(c, io, first, group, packed, whole ? PANEL : W, edge, reads);
  if (whole) {
    Vec sum[M][NV];
    if (reads.pointers) {
      direct_rows<M, NV, true>(reads.taps, depth, reads.rows, 0, reads.packed, sum);
    } else {
      direct_rows<M, NV, false>(reads.taps, depth, reads.rows, reads.ld, reads.packed, sum);
    }
    store_direct(c, io, first, group, channel, sum);
  } else {
    Vec sum[M][1];
    if (reads.pointers) {
      direct_rows<M, 1, true>(reads.taps, depth, reads.rows, 0, reads.packed, sum);
    } else {
      direct_rows<M, 1, false>(reads.taps, depth, reads.rows, reads.ld, reads.packed, sum);
    }
    store_direct(c, io, first, group, channel, sum);
  }
}

static void direct_block(const Conv& c, const Io& io, long first, int count, float* scratch) {
  const int taps = c.spec.kernel[0] * c.spec.kernel[1];
  for (int group = 0; group < c.spec.groups; ++group) {
    const float* packed = c.taps + c.tap_group * group;
    for (int channel = 0; channel < c.out_padded; channel += PANEL) {
      for (long at = first, end = first + count; at < end;) {
        const long left = end - at;
        // Rows of the microkernel that lie in one line need no pointers.
        const long line = c.spec.out_size[1] - at % c.spec.out_size[1];
        const long rows = c.spec.out_size[1] >= 4 && line < left ? line : left;
        if (rows >= DR) {
          direct_positions<DR>(c, io, at, group, channel, packed, scratch);
          at += DR;
        } else if (DR > 8 && rows >= 8) {
          direct_positions<(DR > 8 ? 8 : 1)>(c, io, at, group, channel, packed, scratch);
          at += 8;
        } else if (rows >= 4) {
          direct_positions<4>(c, io, at, group, channel, packed, scratch);
          at += 4;
        } else if (rows >= 2) {
          direct_positions<2>(c, io, at, group, channel, packed, scratch);
          at += 2;
        } else {
          direct_positions<1>(c, io, at, group, channel, packed, scratch);
          at += 1;
        }
      }
      packed += static_cast<long>(taps) * c.group_in * (channel + PANEL <= c.out_padded ? PANEL : W);
    }
  }
}

// One channel of the input to one of the output: packed taps are [taps][channels rounded up].
template <int M>
static void depthwise_positions(const Conv& c, const Io& io, long first) {
  const DdConv& s = c.spec;
  const int channels = s.out_channels, padded = up(channels, W);
  Position at[M];
  for (int m = 0; m < M; ++m) at[m] = position_of(c, first + m);
  const float* rows[M];
  for (int channel = 0; channel < channels; channel += W) {
    const int lanes = channels - channel;
    Vec sum[M];
    DD_UNROLL for (int m = 0; m < M; ++m) sum[m] = load(c.bias + channel);
    for (int a = 0; a < s.kernel[0]; ++a) {
      for (int b = 0; b < s.kernel[1]; ++b) {
        for (int m = 0; m < M; ++m) {
          const int line = source_row(c, at[m].row, a), col = at[m].col * s.stride[1] + b * s.dilation[1] - s.before[1];
          const bool inside = line >= 0 && col >= 0 && col < s.in_size[1];
          rows[m] = inside ? io.x + at[m].sample * io.x_sample + (static_cast<long>(line) * s.in_size[1] + col) * io.x_row : c.zeros;
        }
        const Vec w = load(c.taps + static_cast<long>(a * s.kernel[1] + b) * padded + channel);
        DD_UNROLL for (int m = 0; m < M; ++m) sum[m] += w * load_some(rows[m] + channel, lanes);
      }
    }
    for (int m = 0; m < M; ++m) {
      const long position = static_cast<long>(at[m].row) * s.out_size[1] + at[m].col;
      Vec v = sum[m];
      if (dd_relu_before(s.activation)) v = relu(v);
      if (io.added != nullptr) {
        v += load_some(io.added + at[m].sample * io.added_sample + position * io.added_row + channel, lanes);
      }
      if (dd_relu_after(s.activation)) v = relu(v);
      store_some(io.y + at[m].sample * io.y_sample + position * io.y_row + channel, v, lanes);
    }
  }
}

static void depthwise_block(const Conv& c, const Io& io, long first, int count, float*) {
  long at = first;
  const long end = first + count;
  for (; at + 8 <= end; at += 8) depthwise_positions<8>(c, io, at);
  for (; at < end; ++at) depthwise_positions<1>(c, io, at);
}

}  // namespace DD_NAMESPACE
}  // namespace dd
