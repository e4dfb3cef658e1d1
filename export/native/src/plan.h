// What a convolution needs at run time, made once at load: how its axes are cut, packed taps, twiddle factors.
#pragma once

#include <cstddef>

#include "api.h"

namespace dd {

// How one spatial axis is cut into splits (of a stride), phases (of a dilation) and tiles; see lowerings/tiling.py.
struct Axis {
  int tile, taps, splits, stride, dilation, length, before, extent;
  int outputs;  // S: outputs of one tile
  int phases;   // phases that have an output
  int tiles;    // Q: tiles of the longest phase
  int columns;  // M: tiles of all phases
  int first, second;  // radices of the transform, first * second points
};

struct Io {
  const float* x;
  long x_row, x_sample;
  const float* added;  // or null
  long added_row, added_sample;
  float* y;
  long y_row, y_sample;
};

struct Kernels;

struct Conv {
  DdConv spec;
  const Kernels* kernels;
  Axis rows, cols;
  int group_in, group_out;    // channels of one group
  int in_padded, out_padded;  // the same, rounded up to whole vectors
  int out_packed;             // FFT: channels of the packed taps, which may end with half a vector
  int splits, depth;          // depth: the channels that one product sums over, those of all splits
  int in_row;                 // floats of a tile's spectrum at one frequency: splits * in_padded
  int frequencies;            // complex products per tile
  int tiles;                  // of one sample
  int block;                  // tiles, or output positions, that are worked on together
  long plane;                 // floats between the planes of a spectrum
  long row;                   // floats between the tiles of a plane
  long tap_group;             // floats of the packed taps of one group
  long scratch;               // floats that one block needs
  bool merged;                // direct: the taps of a row of the kernel are one sum
  float* taps;
  float* bias;      // out_padded per group; zeros where there is none
  float* rotation;  // [first] complex, of the columns' first pass
  float* col_twiddles;
  float* row_twiddles;
  float* zeros;     // a row of zeros
};

struct Kernels {
  const char* name;
  int width;    // floats of a vector
  int panel;    // output channels of a panel of packed taps
  int least;    // output channels of the narrowest panel of an FFT
  int rows;     // rows of the direct microkernel
  void (*fft_block)(const Conv&, const Io&, long first, int count, float* scratch);
  void (*direct_block)(const Conv&, const Io&, long first, int count, float* scratch);
  void (*depthwise_block)(const Conv&, const Io&, long first, int count, float* scratch);
  void (*affine)(long rows, int channels, const float* scale, const float* shift, int activation, const Io&);
  void (*layer_norm)(long rows, int channels, const float* scale, const float* shift, float epsilon, const Io&);
  void (*pool)(const DdPool&, const Io&, long first, long count);
};

const Kernels* portable_kernels();
const Kernels* avx2_kernels();
const Kernels* avx512_kernels();

// Owns what a Conv points to.
struct Constants;
Constants* new_constants();
void free_constants(Constants*);
size_t bytes_of(const Constants*);

// Null, with a reason, where the numbers do not describe a convolution that this can compute.
Conv* make_conv(Constants*, const Kernels*, const DdConv&, const float* weight, const float* bias, const char** reason);
// Where a whole row is a sum: the channels of the input lie without gaps.
void set_merged(Conv*, bool contiguous);

// floats on a border of 64 bytes, in large pages where the system has them; never null.
float* aligned_floats(size_t count);
void free_floats(float*);

constexpr int kRadices[] = {1, 2, 3, 4, 5, 6, 8};
constexpr int kMostPoints = 64;

static inline int up(int value, int multiple) { return (value + multiple - 1) / multiple * multiple; }
static inline int ceil_div(int a, int b) { return (a + b - 1) / b; }

}  // namespace dd
