// The functions that Python calls, for float and double. They get addresses, and do not depend on PyTorch.
#include "convolution.hpp"
#include "replay.hpp"

using namespace nestree;

namespace {

template <class T>
struct ReplayCall {
    std::int64_t histories, count, parts, dropout;
    void* const* history;
    const std::int64_t *rows, *part;
    const T* outside;
    T* gradient;
};

template <class T>
std::int64_t replay(const Weights<T>& weights, const Store<T>& store, const ReplayCall<T>& call, const Gradients<T>& to) {
    const Model<T> model(weights, true);
    std::vector<History<T>*> histories;
    for (std::int64_t i = 0; i < call.histories; ++i) histories.push_back(static_cast<History<T>*>(call.history[i]));
    return Replay<T>(model, store, static_cast<Draws>(call.dropout), histories, call.gradient)
        .run(call.rows, call.outside, call.part, call.count, call.parts, to);
}

}  // namespace

#define NESTREE_API(T, name)                                                                                                                        \
    extern "C" __attribute__((visibility("default"))) void* nestree_model_##name(const Weights<T>* weights) { return new Model<T>(*weights, false); }\
    extern "C" __attribute__((visibility("default"))) void nestree_free_model_##name(void* model) { delete static_cast<Model<T>*>(model); }         \
    extern "C" __attribute__((visibility("default"))) void nestree_project_##name(const void* model, const Store<T>* store) {                       \
        Composer<T>(*static_cast<const Model<T>*>(model), *store, none).project(0, store->leaves);                                                  \
    }                                                                                                                                               \
    extern "C" __attribute__((visibility("default"))) void* nestree_search_##name(const void* model, const Store<T>* store, const Level<T>* level, int record) {\
        return search(*static_cast<const Model<T>*>(model), *store, *level, record != 0);                                                           \
    }                                                                                                                                               \
    extern "C" __attribute__((visibility("default"))) void nestree_free_history_##name(void* history) { delete static_cast<History<T>*>(history); } \
    extern "C" __attribute__((visibility("default"))) void nestree_score_gradient_##name(void* history, const T* gradient, T* start) {              \
        score_gradient(*static_cast<History<T>*>(history), gradient, start);                                                                        \
    }                                                                                                                                               \
    extern "C" __attribute__((visibility("default"))) std::int64_t nestree_replay_##name(const Weights<T>* weights, const Store<T>* store, const ReplayCall<T>* call,\
                                          const Gradients<T>* to) {                                                                                 \
        return replay(*weights, *store, *call, *to);                                                                                                \
    }                                                                                                                                               \
    extern "C" __attribute__((visibility("default"))) void nestree_convolve_##name(const Convolution<T>* call) { convolve(*call); }

extern "C" __attribute__((visibility("default"))) int nestree_multiplies_bfloat16() { return multiplies_bfloat16(); }

NESTREE_API(float, float32)
NESTREE_API(double, float64)
