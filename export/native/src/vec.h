// Vectors of floats of the width that a file is compiled for; compiled several times with other flags and DD_NAMESPACE.
#pragma once

#include <cstring>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#ifndef DD_WIDTH
#error "compile with -DDD_WIDTH=4, 8 or 16 and -DDD_NAMESPACE=..."
#endif

#define DD_INLINE inline __attribute__((always_inline))
#define DD_UNROLL _Pragma("GCC unroll 32")

namespace dd {
namespace DD_NAMESPACE {

constexpr int W = DD_WIDTH;
typedef float Vec __attribute__((vector_size(DD_WIDTH * 4)));
typedef float Loose __attribute__((vector_size(DD_WIDTH * 4), aligned(4), may_alias));
typedef int Mask __attribute__((vector_size(DD_WIDTH * 4)));

// Half a vector: what is left of many channels. A unit of 256 bits takes it in half the time.
typedef float Half __attribute__((vector_size(DD_WIDTH * 2)));
typedef float LooseHalf __attribute__((vector_size(DD_WIDTH * 2), aligned(4), may_alias));

static DD_INLINE Vec load(const float* p) { return *reinterpret_cast<const Loose*>(p); }
static DD_INLINE void store(float* p, Vec v) { *reinterpret_cast<Loose*>(p) = v; }
static DD_INLINE void store(float* p, Half v) { *reinterpret_cast<LooseHalf*>(p) = v; }
static DD_INLINE Vec splat(float a) { return a - Vec{}; }

template <typename V>
static DD_INLINE V load_as(const float* p);
template <>
DD_INLINE Vec load_as<Vec>(const float* p) { return load(p); }
template <>
DD_INLINE Half load_as<Half>(const float* p) { return *reinterpret_cast<const LooseHalf*>(p); }
static DD_INLINE Vec largest(Vec a, Vec b) { return a > b ? a : b; }

#if DD_WIDTH == 16 && defined(__AVX512F__)
static DD_INLINE __mmask16 mask_of(int lanes) { return static_cast<__mmask16>((1u << lanes) - 1); }
static DD_INLINE Vec load_masked(const float* p, int lanes) { return (Vec)_mm512_maskz_loadu_ps(mask_of(lanes), p); }
static DD_INLINE void store_masked(float* p, Vec v, int lanes) { _mm512_mask_storeu_ps(p, mask_of(lanes), (__m512)v); }
#elif DD_WIDTH == 8 && defined(__AVX2__)
static DD_INLINE __m256i mask_of(int lanes) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(lanes), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
static DD_INLINE Vec load_masked(const float* p, int lanes) { return (Vec)_mm256_maskload_ps(p, mask_of(lanes)); }
static DD_INLINE void store_masked(float* p, Vec v, int lanes) { _mm256_maskstore_ps(p, mask_of(lanes), (__m256)v); }
#else
static DD_INLINE Vec load_masked(const float* p, int lanes) {
  Vec v{};
  std::memcpy(&v, p, sizeof(float) * static_cast<unsigned>(lanes));
  return v;
}
static DD_INLINE void store_masked(float* p, Vec v, int lanes) { std::memcpy(p, &v, sizeof(float) * static_cast<unsigned>(lanes)); }
#endif

// The first `lanes` floats, zeros behind them.
static DD_INLINE Vec load_some(const float* p, int lanes) { return lanes >= W ? load(p) : load_masked(p, lanes); }

static DD_INLINE void store_some(float* p, Vec v, int lanes) {
  if (lanes >= W) {
    store(p, v);
  } else {
    store_masked(p, v, lanes);
  }
}

// Not-a-numbers stay: they compare false with everything.
static DD_INLINE Vec relu(Vec v) { return v < Vec{} ? Vec{} : v; }

}  // namespace DD_NAMESPACE
}  // namespace dd
