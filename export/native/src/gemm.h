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

template <int FLOATS>
static DD_INLINE void fetch_ahead(const float* taps) {
  DD_UNROLL for (int line = 0; line < FLOATS; line += 16) __builtin_prefetch(taps + line, 0, 2);
}

// M rows of X W for one frequency and N vectors V of output channels, by three real products (Gauss):
//   P1 = (Xr + Xi) Wr,  P2 = Xr (Wi - Wr),  P3 = Xi (Wr + Wi);  Yr = P1 - P3,  Yi = P1 + P2
// The packed taps are [depth][2][N vectors]; sums and differences of them are formed in registers.
// AHEAD: the panel after this one is called into the second-level cache meanwhile.
template <typename V, int M, int N, bool AHEAD>
static void together(int depth, const float* xr, const float* xi, const float* xs, long ldx, const float* taps, float* yr, float* yi,
                     long ldy) {
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
    if (AHEAD) fetch_ahead<FLOATS>(taps + static_cast<long>(FLOATS) * depth);
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
template <int M, int N, bool AHEAD, typename Taps>
static DD_INLINE void one_product(int depth, const float* x, long ldx, const float* packed, Vec (&sum)[M][N], const Taps& taps) {
  for (int k = 0; k < depth; ++k) {
    Vec w[N];
    DD_UNROLL for (int n = 0; n < N; ++n) w[n] = taps(packed + n * W);
    DD_UNROLL for (int m = 0; m < M; ++m) {
      Vec a = splat(x[m * ldx + k]);
      DD_UNROLL for (int n = 0; n < N; ++n) sum[m][n] += a * w[n];
    }
    if (AHEAD) fetch_ahead<2 * N * W>(packed + 2L * depth * N * W);
    packed += 2 * N * W;
  }
}

template <int M, int N, bool AHEAD>
static void in_turn(int depth, const float* xr, const float* xi, const float* xs, long ldx, const float* packed, float* yr, float* yi,
                    long ldy) {
  Vec first[M][N];  // P1, in memory meanwhile
  {
    Vec sum[M][N] = {};
    one_product<M, N, AHEAD>(depth, xs, ldx, packed, sum, [](const float* w) { return load(w); });
    std::memcpy(first, sum, sizeof first);
  }
  {
    Vec sum[M][N] = {};
    one_product<M, N, false>(depth, xr, ldx, packed, sum, [](const float* w) { return load(w + N * W) - load(w); });
    DD_UNROLL for (int m = 0; m < M; ++m) {
      DD_UNROLL for (int n = 0; n < N; ++n) store(yi + m * ldy + n * W, first[m][n] + sum[m][n]);
    }
  }
  Vec sum[M][N] = {};
  one_product<M, N, false>(depth, xi, ldx, packed, sum, [](const float* w) { return load(w + N * W) + load(w); });
  DD_UNROLL for (int m = 0; m < M; ++m) {
    DD_UNROLL for (int n = 0; n < N; ++n) store(yr + m * ldy + n * W, first[m][n] - sum[m][n]);
  }
}

template <typename V, int M, int N, bool AHEAD>
static void complex_rows(int depth, const float* xr, const float* xi, const float* xs, long ldx, const float* taps, float* yr, float* yi,
                         long ldy) {
  if constexpr (TOGETHER) {
    together<V, M, N, AHEAD>(depth, xr, xi, xs, ldx, taps, yr, yi, ldy);
  } else {
    in_turn<M, N, AHEAD>(depth, xr, xi, xs, ldx, taps, yr, yi, ldy);
  }
}

typedef void (*ComplexRows)(int, const float*, const float*, const float*, long, const float*, float*, float*, long);

template <typename V, int N, bool AHEAD>
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

template <bool AHEAD>
static ComplexRows complex_kernel_of(int width, int rows) {
  if (width == PANEL) return complex_kernel<Vec, NV, AHEAD>(rows);
  if constexpr (LEAST < W) {
    if (width < W) return complex_kernel<Half, 1, AHEAD>(rows);
  }
  return complex_kernel<Vec, 1, AHEAD>(rows);
}

// `count` rows times the packed taps of one frequency, panel by panel; the last ones may be narrower. Rows are shared
// out evenly: a microkernel of few rows waits for its sums.
static void complex_product(int depth, int count, const float* xr, const float* xi, const float* xs, long ldx, const float* taps,
                            int out_packed, float* yr, float* yi, long ldy) {
  for (int n = 0; n < out_packed;) {
    const int left_over = out_packed - n, width = left_over >= PANEL ? PANEL : left_over >= W ? W : left_over;
    for (int m = 0; m < count;) {
      const int left = count - m, parts = (left + CR - 1) / CR, rows = (left + parts - 1) / parts;
      ComplexRows kernel = m == 0 ? complex_kernel_of<true>(width, rows) : complex_kernel_of<false>(width, rows);
      kernel(depth, xr + m * ldx, xi + m * ldx, xs + m * ldx, ldx, taps, yr + m * ldy + n, yi + m * ldy + n, ldy);
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
