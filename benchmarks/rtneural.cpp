// A recurrent layer and a linear one in RTNeural, of sizes that are fixed at compile time: IN inputs, UNITS units of
// LAYER (LSTMLayerT or GRULayerT), one output. LOAD reads the recurrent layer's weights from a state_dict.
#include <RTNeural/RTNeural.h>
#include <fstream>

static RTNeural::ModelT<float, IN, 1, RTNeural::LAYER<float, IN, UNITS>, RTNeural::DenseT<float, UNITS, 1>> net;

extern "C" void start(const char *path)
{
    nlohmann::json weights;
    std::ifstream(path) >> weights;
    RTNeural::torch_helpers::LOAD<float>(weights, "layer.", net.template get<0>());
    RTNeural::torch_helpers::loadDense<float>(weights, "head.", net.template get<1>());
    net.reset();
}

extern "C" void run(size_t steps, const float *inputs, float *outputs)
{
    for (size_t t = 0; t < steps; t++) {
        alignas(RTNEURAL_DEFAULT_ALIGNMENT) float now[IN];
        for (int i = 0; i < IN; i++) now[i] = inputs[t * IN + i];
        outputs[t] = net.forward(now);
    }
}
