// Discrete Fourier transforms of a few points in registers, one channel in every lane:
// z[m] = sum_i z[i] exp(-2 pi sqrt(-1) i m / R). With real and imaginary parts exchanged at both ends they are the inverse.
#pragma once

#include "vec.h"

namespace dd {
namespace DD_NAMESPACE {

struct Complex {
  Vec r, i;
};

static DD_INLINE Complex operator+(Complex a, Complex b) { return {a.r + b.r, a.i + b.i}; }
static DD_INLINE Complex operator-(Complex a, Complex b) { return {a.r - b.r, a.i - b.i}; }
static DD_INLINE Complex operator*(float a, Complex b) { return {splat(a) * b.r, splat(a) * b.i}; }
// a - sqrt(-1) b, and a + sqrt(-1) b
static DD_INLINE Complex minus_i(Complex a, Complex b) { return {a.r + b.i, a.i - b.r}; }
static DD_INLINE Complex plus_i(Complex a, Complex b) { return {a.r - b.i, a.i + b.r}; }
static DD_INLINE Complex times(Complex a, float r, float i) {
  return {a.r * splat(r) - a.i * splat(i), a.r * splat(i) + a.i * splat(r)};
}

template <int R>
struct Dft;

template <>
struct Dft<1> {
  static DD_INLINE void run(Complex*) {}
};

template <>
struct Dft<2> {
  static DD_INLINE void run(Complex* z) {
    Complex a = z[0], b = z[1];
    z[0] = a + b;
    z[1] = a - b;
  }
};

template <>
struct Dft<3> {
  static DD_INLINE void run(Complex* z) {
    const float sine = 0.86602540378443864676f;
    Complex sum = z[1] + z[2], turned = sine * (z[1] - z[2]);
    Complex middle = z[0] - 0.5f * sum;
    z[0] = z[0] + sum;
    z[1] = minus_i(middle, turned);
    z[2] = plus_i(middle, turned);
  }
};

template <>
struct Dft<4> {
  static DD_INLINE void run(Complex* z) {
    Complex a = z[0] + z[2], b = z[0] - z[2], c = z[1] + z[3], d = z[1] - z[3];
    z[0] = a + c;
    z[1] = minus_i(b, d);
    z[2] = a - c;
    z[3] = plus_i(b, d);
  }
};

template <>
struct Dft<5> {
  static DD_INLINE void run(Complex* z) {
    const float c1 = 0.30901699437494742410f, c2 = -0.80901699437494742410f;
    const float s1 = 0.95105651629515357212f, s2 = 0.58778525229247312917f;
    Complex a = z[1] + z[4], b = z[2] + z[3], c = z[1] - z[4], d = z[2] - z[3];
    Complex u = z[0] + c1 * a + c2 * b, v = z[0] + c2 * a + c1 * b;
    Complex p = s1 * c + s2 * d, q = s2 * c - s1 * d;
    z[0] = z[0] + a + b;
    z[1] = minus_i(u, p);
    z[4] = plus_i(u, p);
    z[2] = minus_i(v, q);
    z[3] = plus_i(v, q);
  }
};

template <>
struct Dft<6> {
  // Good and Thomas: 2 and 3 have no common factor, so no twiddles. Input 3 a + 2 b, output 3 a + 4 b (mod 6).
  static DD_INLINE void run(Complex* z) {
    Complex even[3] = {z[0], z[2], z[4]}, odd[3] = {z[3], z[5], z[1]};
    Dft<3>::run(even);
    Dft<3>::run(odd);
    z[0] = even[0] + odd[0];
    z[3] = even[0] - odd[0];
    z[4] = even[1] + odd[1];
    z[1] = even[1] - odd[1];
    z[2] = even[2] + odd[2];
    z[5] = even[2] - odd[2];
  }
};

template <>
struct Dft<8> {
  static DD_INLINE void run(Complex* z) {
    const float half = 0.70710678118654752440f;
    Complex even[4] = {z[0], z[2], z[4], z[6]}, odd[4] = {z[1], z[3], z[5], z[7]};
    Dft<4>::run(even);
    Dft<4>::run(odd);
    // exp(-pi i m / 4) for m = 1 and 3
    Complex one = {half * (odd[1].r + odd[1].i), half * (odd[1].i - odd[1].r)};
    Complex three = {half * (odd[3].i - odd[3].r), -half * (odd[3].r + odd[3].i)};
    z[0] = even[0] + odd[0];
    z[4] = even[0] - odd[0];
    z[1] = even[1] + one;
    z[5] = even[1] - one;
    z[2] = minus_i(even[2], odd[2]);
    z[6] = plus_i(even[2], odd[2]);
    z[3] = even[3] + three;
    z[7] = even[3] - three;
  }
};

}  // namespace DD_NAMESPACE
}  // namespace dd
