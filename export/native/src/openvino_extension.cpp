// An extension of OpenVINO: FusedConv of our domain becomes an operator that runs the native kernels.
//
// The operator takes and gives channels last. Between two of them nothing is transposed: what turns the result of one back is
// passed by when the next one is made, and OpenVINO drops what nobody reads.
#include <cstdlib>
#include <mutex>
#include <openvino/core/extension.hpp>
#include <openvino/core/op_extension.hpp>
#include <openvino/frontend/onnx/extension/conversion.hpp>
#include <openvino/op/constant.hpp>
#include <openvino/op/op.hpp>
#include <openvino/op/transpose.hpp>

#include "api.h"

namespace dashdeploy {

int threads_of_new_nodes = 1;

struct Attributes {
  std::vector<int64_t> strides, dilations, pads, tile;
  int64_t group = 1, threads = 1;
  std::string activation = "none", algorithm = "direct";
};

// Packed taps for one size of the input; made at the first call, since clones of a node are many and calls come for one of them.
struct Packed {
  std::mutex guard;
  DdProgram* program = nullptr;
  ov::Shape shape;  // of the input, without the batch
  ~Packed() { dd_free(program); }
};

int32_t activation_of(const std::string& name) {
  if (name == "relu") return DD_RELU;
  if (name == "relu_sum") return DD_RELU_SUM;
  if (name == "relu_sum_relu") return DD_RELU_SUM_RELU;
  OPENVINO_ASSERT(name == "none", "FusedConv: no activation is called ", name);
  return DD_NONE;
}

int32_t algorithm_of(const std::string& name) {
  if (name == "fft") return DD_FFT;
  if (name == "depthwise") return DD_DEPTHWISE;
  OPENVINO_ASSERT(name == "direct", "FusedConv: no algorithm is called ", name);
  return DD_DIRECT;
}

void check(int32_t failed) { OPENVINO_ASSERT(failed == 0, "native kernels: ", dd_error()); }

class NativeConv : public ov::op::Op {
 public:
  OPENVINO_OP("NativeConv", "dashdeploy.native");

  NativeConv() = default;
  // x [N, spatial, C], weight [Co, C / group, kernel], bias [Co] and, where something is added, [N, spatial, Co]
  NativeConv(const ov::OutputVector& inputs, Attributes attributes) : Op(inputs), a_(std::move(attributes)) {
    constructor_validate_and_infer_types();
  }

  void validate_and_infer_types() override {
    const auto& x = get_input_partial_shape(0);
    const auto& weight = get_input_partial_shape(1);
    OPENVINO_ASSERT(weight.is_static() && x.rank().is_static() && x.size() == weight.size(), "FusedConv: the sizes of its input are not known");
    const size_t rank = x.size() - 2;
    ov::PartialShape y(std::vector<ov::Dimension>(x.size(), ov::Dimension::dynamic()));
    y[0] = x[0];
    y[rank + 1] = weight[0];
    for (size_t axis = 0; axis < rank; ++axis) {
      if (x[axis + 1].is_static()) y[axis + 1] = out_size(rank, axis, x[axis + 1].get_length(), weight[axis + 2].get_length());
    }
    set_output_type(0, ov::element::f32, y);
  }

  std::shared_ptr<ov::Node> clone_with_new_inputs(const ov::OutputVector& inputs) const override {
    auto clone = std::make_shared<NativeConv>(inputs, a_);
    clone->packed_ = packed_;
    return clone;
  }

  bool visit_attributes(ov::AttributeVisitor& visitor) override {
    visitor.on_attribute("strides", a_.strides);
    visitor.on_attribute("dilations", a_.dilations);
    visitor.on_attribute("pads", a_.pads);
    visitor.on_attribute("tile", a_.tile);
    visitor.on_attribute("group", a_.group);
    visitor.on_attribute("threads", a_.threads);
    visitor.on_attribute("activation", a_.activation);
    visitor.on_attribute("algorithm", a_.algorithm);
    return true;
  }

  bool has_evaluate() const override { return true; }

  bool evaluate(ov::TensorVector& outputs, const ov::TensorVector& inputs) const override {
    const ov::Shape& x = inputs[0].get_shape();
    const ov::Shape& weight = inputs[1].get_shape();
    const size_t rank = x.size() - 2;
    ov::Shape y{x[0]};
    for (size_t axis = 0; axis < rank; ++axis) y.push_back(static_cast<size_t>(out_size(rank, axis, x[axis + 1], weight[axis + 2])));
    y.push_back(weight[0]);
    outputs[0].set_shape(y);
    if (x[0] == 0) return true;
    DdProgram* program = packed(inputs, x, weight, y);
    const float* given[] = {inputs[0].data<const float>(), inputs.size() > 3 ? inputs[3].data<const float>() : nullptr};
    float* results[] = {outputs[0].data<float>()};
    check(dd_run(program, static_cast<int64_t>(x[0]), given, results));
    return true;
  }

 private:
  int64_t out_size(size_t rank, size_t axis, int64_t in, int64_t kernel) const {
    const int64_t padded = in + a_.pads[axis] + a_.pads[rank + axis];
    return (padded - a_.dilations[axis] * (kernel - 1) - 1) / a_.strides[axis] + 1;
  }

  DdProgram* packed(const ov::TensorVector& inputs, const ov::Shape& x, const ov::Shape& weight, const ov::Shape& y) const {
    std::lock_guard<std::mutex> lock(packed_->guard);
    const ov::Shape shape(x.begin() + 1, x.end());
    if (packed_->program != nullptr) {
      OPENVINO_ASSERT(packed_->shape == shape, "FusedConv: its input has not the size that it was planned for");
      return packed_->program;
    }
    DdConv conv{};
    conv.in_channels = static_cast<int32_t>(x.back());
    conv.out_channels = static_cast<int32_t>(y.back());
    conv.groups = static_cast<int32_t>(a_.group);
    conv.algorithm = algorithm_of(a_.algorithm);
    conv.activation = activation_of(a_.activation);
    const size_t rank = x.size() - 2;
    int64_t in = 1, out = 1;
    for (size_t index = 0; index < 2; ++index) {  // a single axis is the last one of a plane
      const bool real = index + rank >= 2;
      const size_t axis = real ? index + rank - 2 : 0;
      conv.in_size[index] = real ? static_cast<int32_t>(x[axis + 1]) : 1;
      conv.out_size[index] = real ? static_cast<int32_t>(y[axis + 1]) : 1;
      conv.kernel[index] = real ? static_cast<int32_t>(weight[axis + 2]) : 1;
      conv.stride[index] = real ? static_cast<int32_t>(a_.strides[axis]) : 1;
      conv.dilation[index] = real ? static_cast<int32_t>(a_.dilations[axis]) : 1;
      conv.before[index] = real ? static_cast<int32_t>(a_.pads[axis]) : 0;
      conv.tile[index] = a_.tile.empty() ? 0 : real ? static_cast<int32_t>(a_.tile[axis]) : 1;
      in *= conv.in_size[index];
      out *= conv.out_size[index];
    }
    const char* instructions = std::getenv("DASHDEPLOY_NATIVE_INSTRUCTIONS");
    DdProgram* program = dd_new(instructions == nullptr ? "" : instructions, static_cast<int32_t>(a_.threads));
    OPENVINO_ASSERT(program != nullptr, "native kernels: ", dd_error());
    packed_->program = program;
    packed_->shape = shape;
    const DdRows from{dd_buffer(program, in * conv.in_channels), 0, conv.in_channels};
    const DdRows to{dd_buffer(program, out * conv.out_channels), 0, conv.out_channels};
    DdRows added{-1, 0, 0};
    check(dd_input(program, from.buffer));
    if (inputs.size() > 3) {
      added = {dd_buffer(program, out * conv.out_channels), 0, conv.out_channels};
      check(dd_input(program, added.buffer));
    }
    check(dd_conv(program, &conv, inputs[1].data<const float>(), inputs[2].data<const float>(), from, added, to));
    check(dd_output(program, to.buffer));
    check(dd_ready(program));
    return program;
  }

  Attributes a_;
  std::shared_ptr<Packed> packed_ = std::make_shared<Packed>();
};

ov::Output<ov::Node> transposed(const ov::Output<ov::Node>& x, const std::vector<int64_t>& order) {
  const auto constant = ov::op::v0::Constant::create(ov::element::i64, {order.size()}, order);
  return std::make_shared<ov::op::v1::Transpose>(x, constant)->output(0);
}

ov::Output<ov::Node> channels_last(const ov::Output<ov::Node>& x, size_t rank) {
  const auto node = x.get_node_shared_ptr();
  if (ov::is_type<ov::op::v1::Transpose>(node) && ov::is_type<NativeConv>(node->get_input_node_shared_ptr(0))) {
    return node->input_value(0);
  }
  std::vector<int64_t> order{0};
  for (size_t axis = 0; axis < rank; ++axis) order.push_back(static_cast<int64_t>(axis) + 2);
  order.push_back(1);
  return transposed(x, order);
}

bool is_there(const ov::frontend::NodeContext& node, size_t index) {
  return index < node.get_input_size() &&
         std::string(node.get_input(static_cast<int>(index)).get_node()->get_type_name()) != "NullNode";
}

ov::OutputVector convert(const ov::frontend::NodeContext& node) {
  OPENVINO_ASSERT(dd_abi_version() == DD_ABI_VERSION, "the native kernels are of another version than their extension");
  const auto weight = node.get_input(1);
  const size_t rank = weight.get_shape().size() - 2;
  Attributes a;
  a.strides = node.get_attribute<std::vector<int64_t>>("strides");
  a.dilations = node.get_attribute<std::vector<int64_t>>("dilations");
  a.pads = node.get_attribute<std::vector<int64_t>>("pads");
  a.tile = node.get_attribute<std::vector<int64_t>>("tile", {});
  a.group = node.get_attribute<int64_t>("group", 1);
  a.activation = node.get_attribute<std::string>("activation", "none");
  a.algorithm = node.get_attribute<std::string>("algorithm");
  a.threads = threads_of_new_nodes;
  const size_t outputs = weight.get_shape()[0];
  const std::vector<float> zeros(outputs, 0.0f);
  ov::OutputVector inputs{channels_last(node.get_input(0), rank), weight};
  inputs.push_back(is_there(node, 2) ? node.get_input(2) : ov::op::v0::Constant::create(ov::element::f32, {outputs}, zeros)->output(0));
  if (is_there(node, 3)) inputs.push_back(channels_last(node.get_input(3), rank));
  const auto conv = std::make_shared<NativeConv>(inputs, a);
  std::vector<int64_t> order{0, static_cast<int64_t>(rank) + 1};
  for (size_t axis = 0; axis < rank; ++axis) order.push_back(static_cast<int64_t>(axis) + 1);
  return {transposed(conv->output(0), order)};
}

}  // namespace dashdeploy

// Threads within one operator, of models that are read from now on.
DD_EXPORT void dd_openvino_threads(int32_t threads) { dashdeploy::threads_of_new_nodes = threads; }

OPENVINO_CREATE_EXTENSIONS(std::vector<ov::Extension::Ptr>({
    std::make_shared<ov::OpExtension<dashdeploy::NativeConv>>(),
    std::make_shared<ov::frontend::onnx::ConversionExtension>("FusedConv", "dashdeploy.native", dashdeploy::convert),
}));
