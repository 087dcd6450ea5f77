// ONNX Runtime's C++ API without its static initialisation: the function table comes from a library that is opened at run
// time (library.h). Included by the .cc files of this folder only.
#pragma once

#define ORT_API_MANUAL_INIT
#include <onnxruntime_cxx_api.h>
