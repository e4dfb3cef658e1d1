"""The messages and RPCs of the Open Inference Protocol over gRPC, as a table.

Names, numbers and types are those of the public protocol (package ``inference``), as far as this server uses
them: a message may lack fields, which are then skipped when they come. One line per field: its number, its
name, and its type, which may be ``repeated`` or a map from strings (``map``). Fields of one ``oneof`` follow
its name.
"""

from __future__ import annotations

PACKAGE = "inference"
SERVICE = "GRPCInferenceService"

_NAME_AND_VERSION = "1 name string; 2 version string"
_PARAMETER = "oneof parameter_choice; 1 bool_param bool; 2 int64_param int64; 3 string_param string"
_MODEL_CONTROL = "1 repository_name string; 2 model_name string; 3 parameters map ModelRepositoryParameter"

MESSAGES: dict[str, str] = {
    "ServerLiveRequest": "",
    "ServerLiveResponse": "1 live bool",
    "ServerReadyRequest": "",
    "ServerReadyResponse": "1 ready bool",
    "ModelReadyRequest": _NAME_AND_VERSION,
    "ModelReadyResponse": "1 ready bool",
    "ServerMetadataRequest": "",
    "ServerMetadataResponse": "1 name string; 2 version string; 3 extensions repeated string",
    "ModelMetadataRequest": _NAME_AND_VERSION,
    "ModelMetadataResponse": (
        "1 name string; 2 versions repeated string; 3 platform string; "
        "4 inputs repeated ModelMetadataResponse.TensorMetadata; "
        "5 outputs repeated ModelMetadataResponse.TensorMetadata"
    ),
    "ModelMetadataResponse.TensorMetadata": "1 name string; 2 datatype string; 3 shape repeated int64",
    "InferParameter": f"{_PARAMETER}; 4 double_param double; 5 uint64_param uint64",
    "InferTensorContents": (
        "1 bool_contents repeated bool; 2 int_contents repeated int32; 3 int64_contents repeated int64; "
        "4 uint_contents repeated uint32; 5 uint64_contents repeated uint64; "
        "6 fp32_contents repeated float; 7 fp64_contents repeated double; 8 bytes_contents repeated bytes"
    ),
    "ModelInferRequest": (
        "1 model_name string; 2 model_version string; 3 id string; 4 parameters map InferParameter; "
        "5 inputs repeated ModelInferRequest.InferInputTensor; "
        "6 outputs repeated ModelInferRequest.InferRequestedOutputTensor; "
        "7 raw_input_contents repeated bytes"
    ),
    "ModelInferRequest.InferInputTensor": (
        "1 name string; 2 datatype string; 3 shape repeated int64; 4 parameters map InferParameter; "
        "5 contents InferTensorContents"
    ),
    "ModelInferRequest.InferRequestedOutputTensor": "1 name string; 2 parameters map InferParameter",
    "ModelInferResponse": (
        "1 model_name string; 2 model_version string; 3 id string; 4 parameters map InferParameter; "
        "5 outputs repeated ModelInferResponse.InferOutputTensor; 6 raw_output_contents repeated bytes"
    ),
    "ModelInferResponse.InferOutputTensor": (
        "1 name string; 2 datatype string; 3 shape repeated int64; 4 parameters map InferParameter; "
        "5 contents InferTensorContents"
    ),
    "ModelStreamInferResponse": "1 error_message string; 2 infer_response ModelInferResponse",
    "ModelConfigRequest": _NAME_AND_VERSION,
    "ModelConfigResponse": "1 config ModelConfig",
    "ModelConfig": (
        "1 name string; 2 platform string; 3 version_policy ModelVersionPolicy; 4 max_batch_size int32; "
        "5 input repeated ModelInput; 6 output repeated ModelOutput; "
        "7 instance_group repeated ModelInstanceGroup; 8 default_model_filename string; 17 backend string; "
        "oneof scheduling_choice; 11 dynamic_batching ModelDynamicBatching"
    ),
    "ModelInput": "1 name string; 2 data_type enum DataType; 4 dims repeated int64",
    "ModelOutput": "1 name string; 2 data_type enum DataType; 3 dims repeated int64",
    "ModelVersionPolicy": (
        "oneof policy_choice; 1 latest ModelVersionPolicy.Latest; 2 all ModelVersionPolicy.All"
    ),
    "ModelVersionPolicy.Latest": "1 num_versions uint32",
    "ModelVersionPolicy.All": "",
    "ModelInstanceGroup": "1 name string; 2 count int32; 4 kind enum InstanceKind",
    "ModelDynamicBatching": (
        "1 preferred_batch_size repeated int32; 2 max_queue_delay_microseconds uint64; "
        "6 default_queue_policy ModelQueuePolicy"
    ),
    "ModelQueuePolicy": (
        "2 default_timeout_microseconds uint64; 3 allow_timeout_override bool; 4 max_queue_size uint32"
    ),
    "ModelStatisticsRequest": _NAME_AND_VERSION,
    "ModelStatisticsResponse": "1 model_stats repeated ModelStatistics",
    "StatisticDuration": "1 count uint64; 2 ns uint64",
    "InferStatistics": (
        "1 success StatisticDuration; 2 fail StatisticDuration; 3 queue StatisticDuration; "
        "4 compute_input StatisticDuration; 5 compute_infer StatisticDuration; "
        "6 compute_output StatisticDuration; 7 cache_hit StatisticDuration; 8 cache_miss StatisticDuration"
    ),
    "InferBatchStatistics": (
        "1 batch_size uint64; 2 compute_input StatisticDuration; 3 compute_infer StatisticDuration; "
        "4 compute_output StatisticDuration"
    ),
    "ModelStatistics": (
        "1 name string; 2 version string; 3 last_inference uint64; 4 inference_count uint64; "
        "5 execution_count uint64; 6 inference_stats InferStatistics; "
        "7 batch_stats repeated InferBatchStatistics"
    ),
    "ModelRepositoryParameter": f"{_PARAMETER}; 4 bytes_param bytes",
    "RepositoryIndexRequest": "1 repository_name string; 2 ready bool",
    "RepositoryIndexResponse": "1 models repeated RepositoryIndexResponse.ModelIndex",
    "RepositoryIndexResponse.ModelIndex": "1 name string; 2 version string; 3 state string; 4 reason string",
    "RepositoryModelLoadRequest": _MODEL_CONTROL,
    "RepositoryModelLoadResponse": "",
    "RepositoryModelUnloadRequest": _MODEL_CONTROL,
    "RepositoryModelUnloadResponse": "",
}
"""The fields of every message, by its name within the package; a dot leads into a message."""

ENUMS: dict[str, tuple[str, ...]] = {
    "DataType": (
        "TYPE_INVALID",
        "TYPE_BOOL",
        "TYPE_UINT8",
        "TYPE_UINT16",
        "TYPE_UINT32",
        "TYPE_UINT64",
        "TYPE_INT8",
        "TYPE_INT16",
        "TYPE_INT32",
        "TYPE_INT64",
        "TYPE_FP16",
        "TYPE_FP32",
        "TYPE_FP64",
        "TYPE_STRING",
        "TYPE_BF16",
    ),
    "InstanceKind": ("KIND_AUTO", "KIND_GPU", "KIND_CPU", "KIND_MODEL"),
}
"""The values of every enumeration, from 0 up. On the wire only numbers count, not where an enum is defined."""

UNARY_METHODS = (
    "ServerLive",
    "ServerReady",
    "ModelReady",
    "ServerMetadata",
    "ModelMetadata",
    "ModelInfer",
    "ModelConfig",
    "ModelStatistics",
    "RepositoryIndex",
    "RepositoryModelLoad",
    "RepositoryModelUnload",
)
"""Methods with one request and one response, which are called METHODRequest and METHODResponse."""

STREAM_METHOD = "ModelStreamInfer"
"""Takes a stream of ModelInferRequest, gives a stream of ModelStreamInferResponse."""
