// Passes of the transforms of a tile. A transform of H = R1 R2 points is two passes; with t = j + R2 i and m = m1 + R1 m2,
//
//   Z[m] = sum_j w(j, m1) exp(-2 pi i j m2 / R2)  sum_i z[j + R2 i] exp(-2 pi i i m1 / R1)
//
// Along the columns the transform is the odd-frequency one of T = 2 H real numbers x: with z[t] = (x[t] - i x[t + H])
// exp(-pi i t / T) it is one of H complex points, Z[m] = X[2 m], and the other frequencies are conjugates of these ("right-
// angle circular convolution": Nussbaumer, "Fast Fourier Transform and Convolution Algorithms", 1982, chapter 5). The factor
// exp(-pi i t / T) is split into a rotation that depends on i alone and one that is part of the twiddles w(j, m1).
// Spectra stand in the order that the passes give them, (m1, m2); the packed taps stand in the same.
//
// The way back is the same with real and imaginary parts exchanged, so its passes use the same twiddles.
#pragma once

#include "butterflies.h"

namespace dd {
namespace DD_NAMESPACE {

// Complex numbers that lie `stride` floats apart, real and imaginary parts in planes of their own.
struct Plane {
  float *r, *i;
  long stride;
};

static DD_INLINE Complex at(Plane p, int index) { return {load(p.r + index * p.stride), load(p.i + index * p.stride)}; }
static DD_INLINE void put(Plane p, int index, Complex z) {
  store(p.r + index * p.stride, z.r);
  store(p.i + index * p.stride, z.i);
}

template <int R>
static DD_INLINE void twiddled(Complex* z, const float* w, int step, int offset) {
  DD_UNROLL for (int m = 0; m < R; ++m) {
    const float* factor = w + 2 * (m * step + offset);
    z[m] = times(z[m], factor[0], factor[1]);
  }
}

// Real rows to the buffer [R1][R2]. `rows`: 2 R1 R2 pointers. WHOLE: every lane is a channel.
template <int R, bool WHOLE>
static DD_INLINE void gather(const float* const* rows, long channel, int lanes, int r2, const float* rotation, const float* w, Complex* buffer) {
  const int half = R * r2;
  for (int j = 0; j < r2; ++j) {
    Complex z[R];
    DD_UNROLL for (int i = 0; i < R; ++i) {
      const float *low = rows[j + r2 * i] + channel, *high = rows[j + r2 * i + half] + channel;
      __builtin_prefetch(low + 32);  // the channels after the next ones; rows lie too far apart to be foreseen
      __builtin_prefetch(high + 32);
      Vec a = WHOLE ? load(low) : load_some(low, lanes), b = WHOLE ? load(high) : load_some(high, lanes);
      Vec c = splat(rotation[2 * i]), s = splat(rotation[2 * i + 1]);
      z[i] = {a * c - b * s, -(a * s + b * c)};
    }
    Dft<R>::run(z);
    twiddled<R>(z, w, r2, j);
    DD_UNROLL for (int m = 0; m < R; ++m) buffer[m * r2 + j] = z[m];
  }
}

template <int R>
void first_of_rows(const float* const* rows, long channel, int lanes, int r2, const float* rotation, const float* w, Complex* buffer) {
  if (lanes >= W) {
    gather<R, true>(rows, channel, lanes, r2, rotation, w, buffer);
  } else {
    gather<R, false>(rows, channel, lanes, r2, rotation, w, buffer);
  }
}

// Complex numbers to the buffer [R1][R2].
template <int R>
void first(Plane x, int r2, const float* w, Complex* buffer) {
  for (int j = 0; j < r2; ++j) {
    Complex z[R];
    DD_UNROLL for (int i = 0; i < R; ++i) z[i] = at(x, j + r2 * i);
    Dft<R>::run(z);
    twiddled<R>(z, w, r2, j);
    DD_UNROLL for (int m = 0; m < R; ++m) buffer[m * r2 + j] = z[m];
  }
}

// The buffer to the spectrum.
template <int R>
void second(const Complex* buffer, int r1, Plane y) {
  for (int m = 0; m < r1; ++m) {
    Complex z[R];
    DD_UNROLL for (int j = 0; j < R; ++j) z[j] = buffer[m * R + j];
    Dft<R>::run(z);
    DD_UNROLL for (int j = 0; j < R; ++j) put(y, m * R + j, z[j]);
  }
}

// The way back. A spectrum to the buffer [R1][R2].
template <int R>
void back_first(Plane x, int r1, const float* w, Complex* buffer) {
  for (int m = 0; m < r1; ++m) {
    Complex z[R];
    DD_UNROLL for (int j = 0; j < R; ++j) z[j] = at(x, m * R + j);
    DD_UNROLL for (int j = 0; j < R; ++j) {
      __builtin_prefetch(x.r + (m * R + j) * x.stride + 16);
      __builtin_prefetch(x.i + (m * R + j) * x.stride + 16);
    }
    Dft<R>::run(z);
    twiddled<R>(z, w, 1, m * R);
    DD_UNROLL for (int j = 0; j < R; ++j) buffer[m * R + j] = z[j];
  }
}

// The buffer to complex numbers, of which the first `limit` are wanted.
template <int R>
void back_second(const Complex* buffer, int r2, Plane y, int limit) {
  for (int j = 0; j < r2; ++j) {
    Complex z[R];
    DD_UNROLL for (int m = 0; m < R; ++m) z[m] = buffer[m * r2 + j];
    Dft<R>::run(z);
    DD_UNROLL for (int i = 0; i < R; ++i) {
      if (j + r2 * i < limit) put(y, j + r2 * i, z[i]);
    }
  }
}

// What happens to outputs on their way to memory. The pointers of a row are null where nobody wants it.
struct Epilogue {
  float* const* y;
  const float* const* added;  // or null
  Vec bias;
  long channel;
  int lanes;
  bool relu_before, relu_after;  // the sum
};

template <bool WHOLE>
static DD_INLINE void finish(const Epilogue& e, int row, Vec v) {
  float* y = e.y[row];
  if (y == nullptr) return;
  v += e.bias;
  __builtin_prefetch(y + e.channel + 32, 1);
  if (e.relu_before) v = relu(v);
  if (e.added != nullptr) v += WHOLE ? load(e.added[row] + e.channel) : load_some(e.added[row] + e.channel, e.lanes);
  if (e.relu_after) v = relu(v);
  if (WHOLE) {
    store(y + e.channel, v);
  } else {
    store_some(y + e.channel, v, e.lanes);
  }
}

// The buffer to real rows. Real and imaginary parts are still exchanged: y[t] = z.i, y[t + H] = -z.r after the rotation.
template <int R, bool WHOLE>
static DD_INLINE void scatter(const Complex* buffer, int r2, const float* rotation, const Epilogue& e) {
  const int half = R * r2;
  for (int j = 0; j < r2; ++j) {
    Complex z[R];
    DD_UNROLL for (int m = 0; m < R; ++m) z[m] = buffer[m * r2 + j];
    Dft<R>::run(z);
    DD_UNROLL for (int i = 0; i < R; ++i) {
      Vec c = splat(rotation[2 * i]), s = splat(rotation[2 * i + 1]);
      finish<WHOLE>(e, j + r2 * i, z[i].i * c - z[i].r * s);
      finish<WHOLE>(e, j + r2 * i + half, -(z[i].r * c + z[i].i * s));
    }
  }
}

template <int R>
void back_to_rows(const Complex* buffer, int r2, const float* rotation, const Epilogue& e) {
  if (e.lanes >= W) {
    scatter<R, true>(buffer, r2, rotation, e);
  } else {
    scatter<R, false>(buffer, r2, rotation, e);
  }
}

// The passes for the radices that exist, by number of points.
struct Passes {
  void (*first_of_rows)(const float* const*, long, int, int, const float*, const float*, Complex*);
  void (*first)(Plane, int, const float*, Complex*);
  void (*second)(const Complex*, int, Plane);
  void (*back_first)(Plane, int, const float*, Complex*);
  void (*back_second)(const Complex*, int, Plane, int);
  void (*back_to_rows)(const Complex*, int, const float*, const Epilogue&);
};

template <int R>
constexpr Passes passes_of() {
  return {first_of_rows<R>, first<R>, second<R>, back_first<R>, back_second<R>, back_to_rows<R>};
}

static const Passes kPasses[9] = {
    {},  passes_of<1>(), passes_of<2>(), passes_of<3>(), passes_of<4>(), passes_of<5>(), passes_of<6>(),
    {},  passes_of<8>()};

}  // namespace DD_NAMESPACE
}  // namespace dd
