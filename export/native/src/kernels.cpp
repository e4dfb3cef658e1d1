// The kernels of one instruction set. Compiled several times; nothing of the C++ library is used here, so that no function
// that is shared with other files can be the one that needs this instruction set.
#include "direct_conv.h"
#include "fft_conv.h"
#include "rows.h"

namespace dd {

#define DD_TEXT_(x) #x
#define DD_TEXT(x) DD_TEXT_(x)
#define DD_JOIN_(a, b) a##b
#define DD_JOIN(a, b) DD_JOIN_(a, b)

const Kernels* DD_JOIN(DD_NAMESPACE, _kernels)() {
  using namespace DD_NAMESPACE;
  static const Kernels kernels = {DD_TEXT(DD_NAMESPACE), W, PANEL, LEAST, DR, fft_block, direct_block, depthwise_block, affine, layer_norm, pool};
  return &kernels;
}

}  // namespace dd
