// Plans: how a convolution is cut, its taps transformed in double precision and packed.
#include "plan.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <vector>

#if defined(__linux__)
#include <sys/mman.h>
#include <unistd.h>
#endif

namespace dd {

namespace {

constexpr double kPi = 3.14159265358979323846;
constexpr size_t kLargePage = 2u << 20;

// Of the second-level cache, what the spectra of a block may take; the rest is for taps on their way.
size_t cache_budget() {
  long size = 0;
#if defined(_SC_LEVEL2_CACHE_SIZE)
  size = sysconf(_SC_LEVEL2_CACHE_SIZE);
#endif
  if (size < (256 << 10)) size = 512 << 10;
  return static_cast<size_t>(size) * 6 / 10;
}

bool factored(int points, int* first, int* second) {
  int best = 0;
  for (int a : kRadices) {
    if (points % a) continue;
    for (int b : kRadices) {
      // The first pass gathers, so it gets the larger radix.
      if (a * b == points && a >= b && (best == 0 || a - b < best - points / best)) best = a;
    }
  }
  if (best == 0) return false;
  *first = best;
  *second = points / best;
  return true;
}

// A tile that holds a whole phase gives all its outputs where what wraps around meets zeros: rows before U - T, and from T on.
void use_zeros(Axis& a) {
  const int phase = ceil_div(a.length, a.dilation), beside = phase + a.taps - 1 - a.tile;
  if (a.stride != 1 || beside <= 0 || phase > a.tile || beside > a.before / a.dilation) return;
  if (ceil_div(a.before + a.extent, a.dilation) <= a.tile) a.outputs = phase;
}

const char* make_axis(const DdConv& s, int index, Axis& a) {
  a = Axis{};
  a.stride = s.stride[index];
  a.splits = a.stride < s.kernel[index] ? a.stride : s.kernel[index];
  a.taps = ceil_div(s.kernel[index], a.stride);
  a.tile = s.tile[index];
  a.dilation = s.dilation[index];
  a.length = s.out_size[index];
  a.before = s.before[index];
  a.extent = s.in_size[index];
  a.first = a.second = 1;
  if (a.tile < a.taps) return "the tile is shorter than the taps";
  a.outputs = a.tile - a.taps + 1;
  use_zeros(a);
  a.phases = a.dilation < a.length ? a.dilation : a.length;
  a.tiles = ceil_div(ceil_div(a.length, a.dilation), a.outputs);
  const int before_last = (a.tiles - 1) * a.outputs * a.dilation;
  const int rest = a.length - before_last;
  a.columns = (a.tiles - 1) * a.phases + (rest < a.phases ? rest : a.phases);
  return nullptr;
}

const char* refused(const DdConv& s, const Kernels& k) {
  if (s.groups < 1 || s.in_channels < 1 || s.out_channels < 1 || s.in_channels % s.groups || s.out_channels % s.groups) {
    return "the channels do not fit the groups";
  }
  for (int i = 0; i < 2; ++i) {
    if (s.in_size[i] < 1 || s.kernel[i] < 1 || s.stride[i] < 1 || s.dilation[i] < 1 || s.out_size[i] < 1 || s.before[i] < 0) {
      return "sizes, taps, strides and dilations begin at 1, padding at 0";
    }
  }
  if (s.activation != DD_NONE && !dd_relu_before(s.activation) && !dd_relu_after(s.activation)) {
    return "a convolution has no activation but ReLU";
  }
  if (s.algorithm == DD_DEPTHWISE && (s.groups != s.in_channels || s.groups != s.out_channels)) return "it is not depthwise";
  if (s.algorithm != DD_FFT && s.kernel[0] * s.kernel[1] > 1024) return "more than 1024 taps are too many for direct";
  if (s.algorithm < DD_DIRECT || s.algorithm > DD_DEPTHWISE) return "no such algorithm";
  (void)k;
  return nullptr;
}

// Twiddles of a pass: exp(-i angle(m1, j)), [R1][R2].
template <typename Angle>
void fill(float* to, int first, int second, Angle angle) {
  for (int m = 0; m < first; ++m) {
    for (int j = 0; j < second; ++j) {
      to[2 * (m * second + j)] = static_cast<float>(std::cos(angle(m, j)));
      to[2 * (m * second + j) + 1] = static_cast<float>(-std::sin(angle(m, j)));
    }
  }
}

// The frequency at place f of an axis of `points`: places are (m1, m2), frequencies m1 + R1 m2.
int frequency(const Axis& a, int place) { return place / a.second + a.first * (place % a.second); }

}  // namespace

// Addresses that are reserved at once, where only those that are written to take memory; elsewhere single arrays.
#if defined(__linux__) && !defined(__SANITIZE_ADDRESS__)
struct Chunk {
  static constexpr size_t kLeast = 64u << 20;
  void* memory;
  size_t bytes;
  explicit Chunk(size_t needed) : bytes((std::max(needed, kLeast) + 2 * kLargePage - 1) / kLargePage * kLargePage) {
    memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    madvise(memory, bytes, MADV_HUGEPAGE);
  }
  // On the border of a large page.
  float* first() const { return reinterpret_cast<float*>((reinterpret_cast<uintptr_t>(memory) + kLargePage - 1) / kLargePage * kLargePage); }
  size_t floats() const { return (bytes - kLargePage) / sizeof(float); }
  void free() { munmap(memory, bytes); }
};
#else
struct Chunk {
  float* memory;
  size_t count;
  explicit Chunk(size_t needed) : memory(aligned_floats(needed / sizeof(float))), count(needed / sizeof(float)) {}
  float* first() const { return memory; }
  size_t floats() const { return count; }
  void free() { free_floats(memory); }
};
#endif

// Arrays lie one behind the other in large pages.
struct Constants {
  std::vector<Chunk> chunks;
  std::vector<std::unique_ptr<Conv>> convs;
  size_t bytes = 0, left = 0;
  float* next = nullptr;

  // Zeros.
  float* floats(size_t count) {
    count = (count + 15) / 16 * 16;
    if (count > left) {
      chunks.emplace_back(count * sizeof(float));
      next = chunks.back().first();
      left = chunks.back().floats();
    }
    float* array = next;
    next += count;
    left -= count;
    bytes += count * sizeof(float);
    return array;
  }
};

Constants* new_constants() { return new Constants; }
size_t bytes_of(const Constants* c) { return c->bytes; }

void free_constants(Constants* c) {
  for (Chunk& chunk : c->chunks) chunk.free();
  delete c;
}

float* aligned_floats(size_t count) {
  const size_t bytes = (count * sizeof(float) + 64 + 63) / 64 * 64;
  // A large page or more: the transforms write to a hundred places at once, more than there are entries for small pages.
  const size_t border = bytes >= kLargePage / 4 ? kLargePage : 64;
  void* memory = std::aligned_alloc(border, (bytes + border - 1) / border * border);
  if (memory == nullptr) throw std::bad_alloc();
#if defined(__linux__)
  if (border == kLargePage) madvise(memory, (bytes + border - 1) / border * border, MADV_HUGEPAGE);
#endif
  std::memset(memory, 0, bytes);
  return static_cast<float*>(memory);
}

void free_floats(float* memory) { std::free(memory); }

namespace {

// Where the tap of input channel k of a depth and output channel n lies in the packed panels. Behind the whole panels stand
// those of one vector, and at most one of half a vector.
struct Packed {
  int depth, width, panel, padded, planes;
  long place(int k, int n, int plane) const {
    int start = n / panel * panel, size = panel;
    if (start + panel > padded) {
      start = n / width * width;
      size = start + width <= padded ? width : padded - start;
    }
    return static_cast<long>(planes) * depth * start + (static_cast<long>(planes) * k + plane) * size + (n - start);
  }
};

void pack_direct(Conv& c, const float* weight) {
  const DdConv& s = c.spec;
  const int taps = s.kernel[0] * s.kernel[1];
  if (s.algorithm == DD_DEPTHWISE) {
    const int padded = up(s.out_channels, c.kernels->width);
    for (int n = 0; n < s.out_channels; ++n) {
      for (int t = 0; t < taps; ++t) c.taps[static_cast<long>(t) * padded + n] = weight[static_cast<long>(n) * taps + t];
    }
    return;
  }
  const Packed packed = {c.group_in * taps, c.kernels->width, c.kernels->panel, c.out_padded, 1};
  for (int n = 0; n < s.out_channels; ++n) {
    float* group = c.taps + c.tap_group * (n / c.group_out);
    for (int k = 0; k < c.group_in; ++k) {
      for (int t = 0; t < taps; ++t) {
        const float value = weight[(static_cast<long>(n) * c.group_in + k) * taps + t];
        group[packed.place(t * c.group_in + k, n % c.group_out, 0)] = value;
      }
    }
  }
}

// The conjugate spectrum of the taps, in double precision, first along the columns and then along the rows.
void pack_spectra(Conv& c, const float* weight) {
  const DdConv& s = c.spec;
  const Axis &rows = c.rows, &cols = c.cols;
  const int half = cols.tile / 2, t1 = rows.tile;
  const double scale = 1.0 / (static_cast<double>(half) * t1);
  std::vector<double> col_cos(half * cols.taps), col_sin(half * cols.taps), row_cos(t1 * rows.taps), row_sin(t1 * rows.taps);
  for (int f = 0; f < half; ++f) {
    for (int b = 0; b < cols.taps; ++b) {
      const double angle = 2 * kPi * (2.0 * frequency(cols, f) + 0.5) * b / cols.tile;
      col_cos[f * cols.taps + b] = scale * std::cos(angle);
      col_sin[f * cols.taps + b] = scale * std::sin(angle);
    }
  }
  for (int f = 0; f < t1; ++f) {
    for (int a = 0; a < rows.taps; ++a) {
      const double angle = 2 * kPi * frequency(rows, f) * a / t1;
      row_cos[f * rows.taps + a] = std::cos(angle);
      row_sin[f * rows.taps + a] = std::sin(angle);
    }
  }
  const Packed packed = {c.depth, c.kernels->width, c.kernels->panel, c.out_packed, 2};
  const long per_frequency = 2L * c.depth * c.out_packed;
  const int all = s.kernel[0] * s.kernel[1];
  std::vector<double> real(rows.taps * half), imaginary(rows.taps * half);
  for (int n = 0; n < s.out_channels; ++n) {
    float* group = c.taps + c.tap_group * (n / c.group_out);
    for (int k = 0; k < c.group_in; ++k) {
      const float* w = weight + (static_cast<long>(n) * c.group_in + k) * all;
      for (int split = 0; split < c.splits; ++split) {
        const int row_split = split / cols.splits, col_split = split % cols.splits;
        for (int a = 0; a < rows.taps; ++a) {
          const int line = a * rows.stride + row_split;
          for (int f = 0; f < half; ++f) {
            double r = 0, i = 0;
            for (int b = 0; b < cols.taps && line < s.kernel[0]; ++b) {
              const int at = b * cols.stride + col_split;
              if (at >= s.kernel[1]) break;
              const double value = w[line * s.kernel[1] + at];
              r += value * col_cos[f * cols.taps + b];
              i += value * col_sin[f * cols.taps + b];
            }
            real[a * half + f] = r;
            imaginary[a * half + f] = i;
          }
        }
        const int deep = split * c.in_padded + k;
        const long to_r = packed.place(deep, n % c.group_out, 0), to_i = packed.place(deep, n % c.group_out, 1);
        for (int f = 0; f < half; ++f) {
          for (int g = 0; g < t1; ++g) {
            double r = 0, i = 0;
            for (int a = 0; a < rows.taps; ++a) {
              const double cosine = row_cos[g * rows.taps + a], sine = row_sin[g * rows.taps + a];
              r += real[a * half + f] * cosine - imaginary[a * half + f] * sine;
              i += real[a * half + f] * sine + imaginary[a * half + f] * cosine;
            }
            float* to = group + (static_cast<long>(f) * t1 + g) * per_frequency;
            to[to_r] = static_cast<float>(r);
            to[to_i] = static_cast<float>(i);
          }
        }
      }
    }
  }
}

const char* make_fft(Constants* constants, Conv& c, const float* weight) {
  for (int i = 0; i < 2; ++i) {
    const char* reason = make_axis(c.spec, i, i ? c.cols : c.rows);
    if (reason != nullptr) return reason;
  }
  Axis &rows = c.rows, &cols = c.cols;
  if (cols.tile % 2 || !factored(cols.tile / 2, &cols.first, &cols.second)) return "no transform has this many columns";
  if (!factored(rows.tile, &rows.first, &rows.second)) return "no transform has this many rows";
  if (rows.tile > kMostPoints || rows.tile * cols.tile > 4096) return "the tile is too large";
  c.splits = rows.splits * cols.splits;
  c.in_row = c.splits * c.in_padded;
  c.depth = c.splits == 1 ? c.group_in : c.in_row;  // lanes without a channel count only where a split begins behind them
  c.frequencies = rows.tile * (cols.tile / 2);
  c.tiles = rows.columns * cols.columns;
  c.row = c.in_row > c.out_padded ? c.in_row : c.out_padded;
  // At least one tile; whole rows of the microkernel where there are many.
  const long fits = static_cast<long>(cache_budget() / (sizeof(float) * 2 * c.frequencies * c.row));
  c.block = static_cast<int>(fits < 4 ? 4 : fits > 64 ? 64 : fits);
  c.plane = c.block * c.row + 16;  // no power of two apart
  c.scratch = 2L * (c.frequencies + 1) * c.plane + static_cast<long>(c.block) * c.row + 2L * c.frequencies * c.kernels->width + 64;
  c.rotation = constants->floats(2 * cols.first);
  for (int i = 0; i < cols.first; ++i) {
    c.rotation[2 * i] = static_cast<float>(std::cos(kPi * i / (2 * cols.first)));
    c.rotation[2 * i + 1] = static_cast<float>(std::sin(kPi * i / (2 * cols.first)));
  }
  c.col_twiddles = constants->floats(2 * cols.tile);
  fill(c.col_twiddles, cols.first, cols.second, [&](int m, int j) { return kPi * j * (4 * m + 1) / cols.tile; });
  c.row_twiddles = constants->floats(2 * rows.tile);
  fill(c.row_twiddles, rows.first, rows.second, [&](int m, int j) { return 2 * kPi * j * m / rows.tile; });
  c.out_packed = up(c.group_out, c.kernels->least);
  c.tap_group = 2L * c.frequencies * c.depth * c.out_packed;
  c.taps = constants->floats(static_cast<size_t>(c.tap_group) * c.spec.groups);
  pack_spectra(c, weight);
  return nullptr;
}

void make_direct(Constants* constants, Conv& c, const float* weight) {
  const DdConv& s = c.spec;
  const int taps = s.kernel[0] * s.kernel[1];
  c.splits = 1;
  c.depth = c.group_in;
  c.tiles = s.out_size[0] * s.out_size[1];
  const int fits = (128 << 10) / (4 * s.in_channels), rows = c.kernels->rows;
  c.block = up(fits < 4 * rows ? 4 * rows : fits > 2048 ? 2048 : fits, rows);
  c.tap_group = static_cast<long>(taps) * c.group_in * c.out_padded;
  const bool depthwise = s.algorithm == DD_DEPTHWISE;
  const long floats = depthwise ? static_cast<long>(taps) * up(s.out_channels, c.kernels->width) : c.tap_group * s.groups;
  c.taps = constants->floats(static_cast<size_t>(floats));
  pack_direct(c, weight);
}

}  // namespace

void set_merged(Conv* c, bool contiguous) {
  const DdConv& s = c->spec;
  c->merged = contiguous && s.algorithm == DD_DIRECT && s.groups == 1 && s.dilation[1] == 1 && s.kernel[1] > 1 && s.in_channels < 32;
  if (c->merged) c->scratch = static_cast<long>(s.kernel[0]) * c->kernels->rows * s.kernel[1] * s.in_channels + 64;
}

Conv* make_conv(Constants* constants, const Kernels* kernels, const DdConv& spec, const float* weight, const float* bias,
                const char** reason) {
  *reason = refused(spec, *kernels);
  if (*reason != nullptr) return nullptr;
  auto owned = std::make_unique<Conv>();
  Conv& c = *owned;
  c = Conv{};
  c.spec = spec;
  c.kernels = kernels;
  c.group_in = spec.in_channels / spec.groups;
  c.group_out = spec.out_channels / spec.groups;
  c.in_padded = up(c.group_in, kernels->width);
  c.out_padded = up(c.group_out, kernels->width);
  c.scratch = 64;
  const bool depthwise = spec.algorithm == DD_DEPTHWISE;
  const long biases = depthwise ? up(spec.out_channels, kernels->width) : static_cast<long>(spec.groups) * c.out_padded;
  c.bias = constants->floats(static_cast<size_t>(biases));
  for (int n = 0; n < spec.out_channels && bias != nullptr; ++n) {
    c.bias[depthwise ? n : static_cast<long>(n / c.group_out) * c.out_padded + n % c.group_out] = bias[n];
  }
  // A row of the input, or of the taps of a merged row.
  const long zeros = static_cast<long>(up(spec.in_channels, kernels->width)) * (spec.in_channels < 32 ? spec.kernel[1] + 1 : 1) + 64;
  c.zeros = constants->floats(static_cast<size_t>(zeros));
  if (spec.algorithm == DD_FFT) {
    *reason = make_fft(constants, c, weight);
    if (*reason != nullptr) return nullptr;
  } else {
    make_direct(constants, c, weight);
  }
  constants->convs.push_back(std::move(owned));
  return constants->convs.back().get();
}

}  // namespace dd
