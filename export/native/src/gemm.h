// The products: microkernels over packed panels, accumulators in registers.
#pragma once

#include "vec.h"

namespace dd {
namespace DD_NAMESPACE {

// Vectors of a panel, rows of the complex microkernel and of the real one: what the registers hold. With 32 registers all
// three products of the complex one stand in registers together; with 16 they come one after the other.
constexpr int NV = 2;
#if DD_WIDTH == 16 || defined(__ARM_NEON)
constexpr bool TOGETHER = true;
constexpr int CR = 4, DR = DD_WIDTH == 16 ? 12 : 10;
#else
constexpr bool TOGETHER = false;
constexpr int CR = DD_WIDTH == 8 ? 6 : 4, DR = CR;
#endif
constexpr int PANEL = NV * W;

// The narrowest panel. Half a vector is as slow as a whole one where a whole one has 256 bits or fewer.
constexpr int LEAST = DD_WIDTH == 16 ? W / 2 : W;

constexpr int LINE = 16;  // floats of a line of the caches

template <int LINES>
static DD_INLINE const float* fetch_ahead(const float* taps) {
  DD_UNROLL for (int line = 0; line < LINES; ++line) __builtin_prefetch(taps + line * LINE, 0, 2);
  return taps + LINES * LINE;
}

// M rows of X W for one frequency and N vectors V of output channels, by three real products (Gauss):
//   P1 = (Xr + Xi) Wr,  P2 = Xr (Wi - Wr),  P3 = Xi (Wr + Wi);  Yr = P1 - P3,  Yi = P1 + P2
// The packed taps are [depth][2][N vectors]; sums and differences of them are formed in registers.
// AHEAD: lines from `ahead` on that are called into the second-level cache meanwhile, for each of the depth.
template <typename V, int M, int N, int AHEAD>
static void together(int depth, const float* xr, const float* xi, const float* xs, long ldx, const float* taps, const float* ahead,
                     float* yr, float* yi, long ldy) {
  constexpr int LANES = sizeof(V) / sizeof(float), FLOATS = 2 * N * LANES;
  V p1[M][N], p2[M][N], p3[M][N];
  DD_UNROLL for (int m = 0; m < M; ++m) {
    DD_UNROLL for (int n = 0; n < N; ++n) p1[m][n] = p2[m][n] = p3[m][n] = V{};
  }
  for (int k = 0; k < depth; ++k) {
    // In this order no accumulator leaves the registers.
    V wr[N], wi[N];
    DD_UNROLL for (int n = 0; n < N; ++n) wr[n] = load_as<V>(taps + n * LANES);
    DD_UNROLL for (int m = 0; m < M; ++m) {
      const float s = xs[m * ldx + k];
      DD_UNROLL for (int n = 0; n < N; ++n) p1[m][n] += s * wr[n];
    }
    DD_UNROLL for (int n = 0; n < N; ++n) {
      wi[n] = load_as<V>(taps + (N + n) * LANES);
      V difference = wi[n] - wr[n];
      wi[n] += wr[n];
      wr[n] = difference;
    }
    DD_UNROLL for (int m = 0; m < M; ++m) {
      const float r = xr[m * ldx + k], i = xi[m * ldx + k];
      DD_UNROLL for (int n = 0; n < N; ++n) {
        p2[m][n] += r * wr[n];
        p3[m][n] += i * wi[n];
      }
    }
    ahead = fetch_ahead<AHEAD>(ahead);
    taps += FLOATS;
  }
  DD_UNROLL for (int m = 0; m < M; ++m) {
    DD_UNROLL for (int n = 0; n < N; ++n) {
      store(yr + m * ldy + n * LANES, p1[m][n] - p3[m][n]);
      store(yi + m * ldy + n * LANES, p1[m][n] + p2[m][n]);
    }
  }
}

// sum += or -= X times what `taps` makes of the two planes.
template <int M, int N, int AHEAD, typename Taps>
static DD_INLINE void one_product(int depth, const float* x, long ldx, const float* packed, const float* ahead, Vec (&sum)[M][N],
                                  const Taps& taps) {
  for (int k = 0; k < depth; ++k) {
    Vec w[N];
    DD_UNROLL for (int n = 0; n < N; ++n) w[n] = taps(packed + n * W);
    DD_UNROLL for (int m = 0; m < M; ++m) {
      Vec a = splat(x[m * ldx + k]);
      DD_UNROLL for (int n = 0; n < N; ++n) sum[m][n] += a * w[n];
    }
    ahead = fetch_ahead<AHEAD>(ahead);
    packed += 2 * N * W;
  }
}

template <int M, int N, int AHEAD>
static void in_turn(int depth, const float* xr, const float* xi, const float* xs, long ldx, const float* packed, const float* ahead,
                    float* yr, float* yi, long ldy) {
  Vec first[M][N];  // P1, in memory meanwhile
  {
    Vec sum[M][N] = {};
    one_product<M, N, AHEAD>(depth, xs, ldx, packed, ahead, sum, [](const float* w) { return load(w); });
    std::memcpy(first, sum, sizeof first);
  }
  {
    Vec sum[M][N] = {};
    one_product<M, N, 0>(depth, xr, ldx, packed, ahead, sum, [](const float* w) { return load(w + N * W) - load(w); });
    DD_UNROLL for (int m = 0; m < M; ++m) {
      DD_UNROLL for (int n = 0; n < N; ++n) store(yi + m * ldy + n * W, first[m][n] + sum[m][n]);
    }
  }
  Vec sum[M][N] = {};
  one_product<M, N, 0>(depth, xi, ldx, packed, ahead, sum, [](const float* w) { return load(w + N * W) + load(w); });
  DD_UNROLL for (int m = 0; m < M; ++m) {
    DD_UNROLL for (int n = 0; n < N; ++n) store(yr + m * ldy + n * W, first[m][n] - sum[m][n]);
  }
}

template <typename V, int M, int N, int AHEAD>
static void complex_rows(int depth, const float* xr, const float* xi, const float* xs, long ldx, const float* taps, const float* ahead,
                         float* yr, float* yi, long ldy) {
  if constexpr (TOGETHER) {
    together<V, M, N, AHEAD>(depth, xr, xi, xs, ldx, taps, ahead, yr, yi, ldy);
  } else {
    in_turn<M, N, AHEAD>(depth, xr, xi, xs, ldx, taps, ahead, yr, yi, ldy);
  }
}

typedef void (*ComplexRows)(int, const float*, const float*, const float*, long, const float*, const float*, float*, float*, long);

template <typename V, int N, int AHEAD>
static ComplexRows complex_kernel(int rows) {
  switch (rows) {
    case 1: return complex_rows<V, 1, N, AHEAD>;
    case 2: return complex_rows<V, 2, N, AHEAD>;
    case 3: return complex_rows<V, 3, N, AHEAD>;
    case 4: return complex_rows<V, 4, N, AHEAD>;
    case 5: return complex_rows<V, (CR > 4 ? 5 : 4), N, AHEAD>;
    default: return complex_rows<V, CR, N, AHEAD>;
  }
}

template <typename V, int N>
static ComplexRows complex_kernel(int rows, int ahead) {
  switch (ahead) {
    case 0: return complex_kernel<V, N, 0>(rows);
    case 1: return complex_kernel<V, N, 1>(rows);
    case 2: return complex_kernel<V, N, 2>(rows);
    default: return complex_kernel<V, N, 4>(rows);
  }
}

static ComplexRows complex_kernel_of(int width, int rows, int ahead) {
  if (width == PANEL) return complex_kernel<Vec, NV>(rows, ahead);
  if constexpr (LEAST < W) {
    if (width < W) return complex_kernel<Half, 1>(rows, ahead);
  }
  return complex_kernel<Vec, 1>(rows, ahead);
}

// `count` rows times the packed taps of one frequency, panel by panel; the last ones may be narrower. Rows are shared
// out evenly: a microkernel of few rows waits for its sums. While a panel is used the next one is called into the cache, a few
// lines at a time: more of them at once than are on their way to memory would hold up the products.
static void complex_product(int depth, int count, const float* xr, const float* xi, const float* xs, long ldx, const float* taps,
                            int out_packed, float* yr, float* yi, long ldy) {
  for (int n = 0; n < out_packed;) {
    const int left_over = out_packed - n, width = left_over >= PANEL ? PANEL : left_over >= W ? W : left_over;
    const int lines = (2 * width + LINE - 1) / LINE, shares = (count + CR - 1) / CR;
    const int each = shares >= lines ? 1 : 2 * shares >= lines ? 2 : 4;
    const float* ahead = taps + 2L * depth * width;
    for (int m = 0, fetched = 0; m < count; fetched += each) {
      const int left = count - m, parts = (left + CR - 1) / CR, rows = (left + parts - 1) / parts;
      ComplexRows kernel = complex_kernel_of(width, rows, fetched < lines ? each : 0);
      const float* lines_ahead = ahead + static_cast<long>(fetched) * depth * LINE;
      kernel(depth, xr + m * ldx, xi + m * ldx, xs + m * ldx, ldx, taps, lines_ahead, yr + m * ldy + n, yi + m * ldy + n, ldy);
      m += rows;
    }
    taps += 2L * depth * width;
    n += width;
  }
}

// M rows of a sum over taps: per tap, `depth` floats of each row times [depth][N W] packed taps. A row of a tap begins at
// `base + m * ld`, or at a pointer of its own where the block meets padding.
template <int M, int N, bool POINTERS>
static void direct_rows(int taps, int depth, const float* const* rows, long ld, const float* const* packed, Vec (&result)[M][N]) {
  Vec sum[M][N];
  DD_UNROLL for (int m = 0; m < M; ++m) {
    DD_UNROLL for (int n = 0; n < N; ++n) sum[m][n] = Vec{};
  }
  for (int tap = 0; tap < taps; ++tap) {
    const float* w = packed[tap];
    const float* const* pointers = rows + tap * DR;
    const float* base = POINTERS ? nullptr : rows[tap];
    for (int k = 0; k < depth; ++k) {
      Vec v[N];
      DD_UNROLL for (int n = 0; n < N; ++n) v[n] = load(w + n * W);
      DD_UNROLL for (int m = 0; m < M; ++m) {
        Vec a = splat(POINTERS ? pointers[m][k] : base[m * ld + k]);
        DD_UNROLL for (int n = 0; n < N; ++n) sum[m][n] += a * v[n];
      }
      w += N * W;
    }
  }
  std::memcpy(result, sum, sizeof sum);
}

}  // namespace DD_NAMESPACE
}  // namespace dd
