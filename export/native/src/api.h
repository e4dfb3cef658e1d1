// The C interface of the native kernels, for ctypes and for extensions of engines.
//
// A program is a list of steps over buffers of floats. It is made once, from one thread, and may be run by several threads
// at once. Tensors are channels last: a buffer holds, per sample, `positions` rows of `channels` floats. All functions that
// can fail return 0 on success; dd_error() says what was wrong, per thread.
#pragma once

#include <cstdint>

#if defined(_WIN32)
#define DD_EXPORT extern "C" __declspec(dllexport)
#else
#define DD_EXPORT extern "C" __attribute__((visibility("default")))
#endif

// Counts up whenever anything below changes; the Python side refuses another number.
#define DD_ABI_VERSION 2

enum DdAlgorithm : int32_t { DD_DIRECT = 0, DD_FFT = 1, DD_DEPTHWISE = 2 };
enum DdActivation : int32_t {
  DD_NONE = 0,
  DD_RELU = 1,
  DD_GELU = 2,
  DD_SIGMOID = 3,
  DD_TANH = 4,
  // Of convolutions alone: ReLU before the sum, and before and after it.
  DD_RELU_SUM = 5,
  DD_RELU_SUM_RELU = 6
};

inline bool dd_relu_before(int32_t activation) { return activation == DD_RELU_SUM || activation == DD_RELU_SUM_RELU; }
inline bool dd_relu_after(int32_t activation) { return activation == DD_RELU || activation == DD_RELU_SUM_RELU; }

// One convolution of two spatial axes; one axis is a plane of height 1. All channels count all groups together.
struct DdConv {
  int32_t in_channels, out_channels, groups;
  int32_t in_size[2], kernel[2], stride[2], dilation[2], before[2], out_size[2];
  int32_t algorithm, tile[2], activation;
};

// Rows of a buffer: `offset` is the first of their channels and `stride` the floats from one row to the next.
struct DdRows {
  int32_t buffer, offset, stride;
};

struct DdPool {
  int32_t channels, in_size[2], kernel[2], stride[2], dilation[2], before[2], out_size[2];
  int32_t mean;            // 0: the largest, 1: the mean
  int32_t count_padding;   // of a mean: whether zeros around the input count
};

struct DdProgram;

DD_EXPORT int32_t dd_abi_version();
DD_EXPORT const char* dd_error();
// Which instruction sets this machine runs and this binary has, best first, separated by spaces.
DD_EXPORT const char* dd_instruction_sets();

// `instructions`: one of dd_instruction_sets(), or empty for the best. `threads`: at least 1.
DD_EXPORT DdProgram* dd_new(const char* instructions, int32_t threads);
DD_EXPORT void dd_free(DdProgram*);
DD_EXPORT const char* dd_instructions(const DdProgram*);
DD_EXPORT int64_t dd_constant_bytes(const DdProgram*);

// A buffer of `floats` per sample; returns its number, or -1.
DD_EXPORT int32_t dd_buffer(DdProgram*, int64_t floats);
DD_EXPORT int32_t dd_input(DdProgram*, int32_t buffer);
DD_EXPORT int32_t dd_output(DdProgram*, int32_t buffer);

// weight: [out_channels, in_channels / groups, kernel[0], kernel[1]]; bias: [out_channels] or null; `added` may name no
// buffer (-1). y = activation(convolution + bias + added).
DD_EXPORT int32_t dd_conv(DdProgram*, const DdConv*, const float* weight, const float* bias, DdRows x, DdRows added, DdRows y);
DD_EXPORT int32_t dd_pool(DdProgram*, const DdPool*, DdRows x, DdRows y);
// y = activation(scale[c] x + shift[c] + added), row by row; scale and shift may be null.
DD_EXPORT int32_t dd_affine(DdProgram*, int32_t positions, int32_t channels, const float* scale, const float* shift,
                            int32_t activation, DdRows x, DdRows added, DdRows y);
// Layer normalization over the channels of every row.
DD_EXPORT int32_t dd_layer_norm(DdProgram*, int32_t positions, int32_t channels, const float* scale, const float* shift,
                                float epsilon, DdRows x, DdRows y);
// [channels, positions] to [positions, channels], or back.
DD_EXPORT int32_t dd_transpose(DdProgram*, int32_t rows, int32_t columns, int32_t x, int32_t y);

// Nothing may be added afterwards.
DD_EXPORT int32_t dd_ready(DdProgram*);
// One pointer per input and output, in the order in which they were named: [batch, floats], contiguous.
DD_EXPORT int32_t dd_run(DdProgram*, int64_t batch, const float* const* inputs, float* const* outputs);
