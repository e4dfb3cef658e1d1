// What stands between convolutions: per-channel scales, sums, activations, normalization over channels, pools.
#pragma once

#include <cmath>

#include "plan.h"
#include "vec.h"

namespace dd {
namespace DD_NAMESPACE {

static float activated(float v, int activation) {
  switch (activation) {
    case DD_GELU: return 0.5f * v * (1.0f + erff(v * 0.70710678118654752440f));
    case DD_SIGMOID: return 1.0f / (1.0f + expf(-v));
    case DD_TANH: return tanhf(v);
    default: return v;
  }
}

static void affine(long rows, int channels, const float* scale, const float* shift, int activation, const Io& io) {
  for (long row = 0; row < rows; ++row) {
    const float* x = io.x + row * io.x_row;
    const float* added = io.added == nullptr ? nullptr : io.added + row * io.added_row;
    float* y = io.y + row * io.y_row;
    for (int channel = 0; channel < channels; channel += W) {
      const int lanes = channels - channel;
      Vec v = load_some(x + channel, lanes);
      if (scale != nullptr) v *= load_some(scale + channel, lanes);
      if (shift != nullptr) v += load_some(shift + channel, lanes);
      if (added != nullptr) v += load_some(added + channel, lanes);
      if (activation == DD_RELU) {
        v = relu(v);
      } else if (activation != DD_NONE) {
        float each[W];
        store(each, v);
        for (int lane = 0; lane < W; ++lane) each[lane] = activated(each[lane], activation);
        v = load(each);
      }
      store_some(y + channel, v, lanes);
    }
  }
}

static float total(Vec v) {
  float sum = 0;
  for (int lane = 0; lane < W; ++lane) sum += v[lane];
  return sum;
}

static void layer_norm(long rows, int channels, const float* scale, const float* shift, float epsilon, const Io& io) {
  for (long row = 0; row < rows; ++row) {
    const float* x = io.x + row * io.x_row;
    float* y = io.y + row * io.y_row;
    Vec sum{};
    for (int channel = 0; channel < channels; channel += W) sum += load_some(x + channel, channels - channel);
    const float mean = total(sum) / static_cast<float>(channels);
    float squares = 0;
    Vec square{};
    int channel = 0;
    for (; channel + W <= channels; channel += W) {
      const Vec v = load(x + channel) - splat(mean);
      square += v * v;
    }
    for (; channel < channels; ++channel) squares += (x[channel] - mean) * (x[channel] - mean);
    const float factor = 1.0f / std::sqrt((squares + total(square)) / static_cast<float>(channels) + epsilon);
    for (channel = 0; channel < channels; channel += W) {
      const int lanes = channels - channel;
      Vec v = (load_some(x + channel, lanes) - splat(mean)) * splat(factor) * load_some(scale + channel, lanes);
      if (shift != nullptr) v += load_some(shift + channel, lanes);
      store_some(y + channel, v, lanes);
    }
  }
}

static void pool(const DdPool& p, const Io& io, long first, long count) {
  const long positions = static_cast<long>(p.out_size[0]) * p.out_size[1];
  for (long index = first; index < first + count; ++index) {
    const long sample = index / positions, within = index % positions;
    const int row = static_cast<int>(within / p.out_size[1]), col = static_cast<int>(within % p.out_size[1]);
    const float* input = io.x + sample * io.x_sample;
    float* y = io.y + sample * io.y_sample + within * io.y_row;
    for (int channel = 0; channel < p.channels; channel += W) {
      const int lanes = p.channels - channel;
      Vec best = splat(p.mean ? 0.0f : -INFINITY);
      int seen = 0;
      for (int a = 0; a < p.kernel[0]; ++a) {
        const int line = row * p.stride[0] + a * p.dilation[0] - p.before[0];
        if (line < 0 || line >= p.in_size[0]) continue;
        for (int b = 0; b < p.kernel[1]; ++b) {
          const int at = col * p.stride[1] + b * p.dilation[1] - p.before[1];
          if (at < 0 || at >= p.in_size[1]) continue;
          const Vec v = load_some(input + (static_cast<long>(line) * p.in_size[1] + at) * io.x_row + channel, lanes);
          best = p.mean ? best + v : (v > best || v != v ? v : best);
          ++seen;
        }
      }
      if (p.mean) best *= splat(1.0f / static_cast<float>(p.count_padding ? p.kernel[0] * p.kernel[1] : seen));
      store_some(y + channel, best, lanes);
    }
  }
}

}  // namespace DD_NAMESPACE
}  // namespace dd
