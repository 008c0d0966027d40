/* The part of ONNX Runtime's C API that is used here.
 *
 * No Python package ships onnxruntime_c_api.h. Where the compiler finds it, it is used; otherwise these declarations
 * are. OrtApi is a table of functions. Releases append to it, and should one ever change its order, GetApi(n) will
 * give the table of API version n as it was. Everything here was shipped with version 1. The positions are those of
 * https://github.com/microsoft/onnxruntime, include/onnxruntime/core/session/onnxruntime_c_api.h (MIT); the
 * assertions at the end hold for either header. */
#pragma once

#include <cstddef>
#include <cstdint>

#if __has_include(<onnxruntime_c_api.h>)
#include <onnxruntime_c_api.h>
#else

extern "C" {

struct OrtEnv;
struct OrtMemoryInfo;
struct OrtRunOptions;
struct OrtSession;
struct OrtSessionOptions;
struct OrtStatus;
struct OrtValue;

enum OrtLoggingLevel { ORT_LOGGING_LEVEL_FATAL = 4 };
enum OrtAllocatorType { OrtDeviceAllocator = 0 };
enum OrtMemType { OrtMemTypeDefault = 0 };
enum ONNXTensorElementDataType {
    ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT = 1,
    ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64 = 7,
    ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL = 9
};

typedef void (*OrtUnused)(void);

struct OrtApi {
    OrtUnused unused_0[2];
    const char *(*GetErrorMessage)(const OrtStatus *);
    OrtStatus *(*CreateEnv)(OrtLoggingLevel, const char *id, OrtEnv **);
    OrtUnused unused_4[3];
    OrtStatus *(*CreateSession)(const OrtEnv *, const char *path, const OrtSessionOptions *, OrtSession **);
    OrtUnused unused_8[1];
    OrtStatus *(*Run)(OrtSession *, const OrtRunOptions *,
                      const char *const *input_names, const OrtValue *const *inputs, size_t input_count,
                      const char *const *output_names, size_t output_count, OrtValue **outputs);
    OrtStatus *(*CreateSessionOptions)(OrtSessionOptions **);
    OrtUnused unused_11[13];
    OrtStatus *(*SetIntraOpNumThreads)(OrtSessionOptions *, int);
    OrtUnused unused_25[24];
    OrtStatus *(*CreateTensorWithDataAsOrtValue)(const OrtMemoryInfo *, void *data, size_t bytes, const int64_t *shape,
                                                 size_t axes, ONNXTensorElementDataType, OrtValue **);
    OrtUnused unused_50[19];
    OrtStatus *(*CreateCpuMemoryInfo)(OrtAllocatorType, OrtMemType, OrtMemoryInfo **);
    OrtUnused unused_70[22];
    void (*ReleaseEnv)(OrtEnv *);
    void (*ReleaseStatus)(OrtStatus *);
    void (*ReleaseMemoryInfo)(OrtMemoryInfo *);
    void (*ReleaseSession)(OrtSession *);
    void (*ReleaseValue)(OrtValue *);
    OrtUnused unused_97[3];
    void (*ReleaseSessionOptions)(OrtSessionOptions *);
};

struct OrtApiBase {
    const OrtApi *(*GetApi)(uint32_t version);
    const char *(*GetVersionString)(void);
};

} // extern "C"

#endif

#define ORT_POSITION(member, position) \
    static_assert(offsetof(OrtApi, member) == (position) * sizeof(void *), #member " is not where ONNX Runtime has it")
ORT_POSITION(GetErrorMessage, 2);
ORT_POSITION(CreateEnv, 3);
ORT_POSITION(CreateSession, 7);
ORT_POSITION(Run, 9);
ORT_POSITION(CreateSessionOptions, 10);
ORT_POSITION(SetIntraOpNumThreads, 24);
ORT_POSITION(CreateTensorWithDataAsOrtValue, 49);
ORT_POSITION(CreateCpuMemoryInfo, 69);
ORT_POSITION(ReleaseEnv, 92);
ORT_POSITION(ReleaseStatus, 93);
ORT_POSITION(ReleaseMemoryInfo, 94);
ORT_POSITION(ReleaseSession, 95);
ORT_POSITION(ReleaseValue, 96);
ORT_POSITION(ReleaseSessionOptions, 100);
#undef ORT_POSITION
