// The convolutions of a bidirectional state-space layer, summed directly: for short sequences faster than by an FFT.
#pragma once

#include <algorithm>
#include <vector>

#include "simd.hpp"
#include "threads.hpp"

namespace nestree {

// Inputs and outputs, passed by Python. The first D channels of a kernel run forwards, the others backwards.
template <class T>
struct Convolution {
    std::int64_t sequences, length, channels, parts;  // B, L, D
    const T *signal, *kernel;                         // (B, L, D), (L, 2 D)
    T* result;                                        // (B, L, 2 D), or null
    const T* gradient;                                // of the result
    T *of_signal, *of_kernel;                         // gradients, as the inputs
};

// Convolves one vector of channels at a time. A column holds one number per channel and time step, between zeros.
template <class T>
class Convolver {
   public:
    explicit Convolver(const Convolution<T>& call) : call_(call), size_((call.length + 2 * at_once) * lanes) {
        for (auto* column : {&signal_, &forwards_, &backwards_, &result_, &ahead_, &behind_, &of_forwards_, &of_backwards_})
            column->assign(size_, T(0));
    }

    void run(std::int64_t part) {
        for (std::int64_t block = part; block * lanes < call_.channels; block += call_.parts) {
            const std::int64_t first = block * lanes, second = call_.channels + first;
            channels_ = static_cast<int>(std::min<std::int64_t>(lanes, call_.channels - first));
            gather(call_.kernel + first, 2 * call_.channels, forwards_);
            gather(call_.kernel + second, 2 * call_.channels, backwards_);
            of_forwards_.assign(size_, T(0));
            of_backwards_.assign(size_, T(0));
            for (std::int64_t sequence = 0; sequence < call_.sequences; ++sequence) {
                const std::int64_t narrow = sequence * call_.length * call_.channels, wide = 2 * narrow;
                gather(call_.signal + narrow + first, call_.channels, signal_);
                if (call_.result) {
                    convolve<true, false>(signal_, forwards_);
                    scatter(result_, call_.result + wide + first, 2 * call_.channels);
                    convolve<false, false>(signal_, backwards_);
                    scatter(result_, call_.result + wide + second, 2 * call_.channels);
                    continue;
                }
                gather(call_.gradient + wide + first, 2 * call_.channels, ahead_);
                gather(call_.gradient + wide + second, 2 * call_.channels, behind_);
                convolve<false, false>(ahead_, forwards_);
                convolve<true, true>(behind_, backwards_);
                scatter(result_, call_.of_signal + narrow + first, call_.channels);
                correlate(ahead_, signal_, of_forwards_);
                correlate(signal_, behind_, of_backwards_);
            }
            if (call_.result) continue;
            scatter(of_forwards_, call_.of_kernel + first, 2 * call_.channels);
            scatter(of_backwards_, call_.of_kernel + second, 2 * call_.channels);
        }
    }

    static constexpr int lanes = Simd<T>::width;

   private:
    static constexpr int at_once = 8;  // time steps whose sums are in registers

    using Column = std::vector<T>;

    static T* at(Column& column, std::int64_t step) { return column.data() + (step + at_once) * lanes; }
    static const T* at(const Column& column, std::int64_t step) { return column.data() + (step + at_once) * lanes; }

    void gather(const T* from, std::int64_t stride, Column& to) const {
        T* own = at(to, 0);
        for (std::int64_t step = 0; step < call_.length; ++step, from += stride, own += lanes) {
            if (channels_ == lanes) store(own, load(from));
            else for (int i = 0; i < lanes; ++i) own[i] = i < channels_ ? from[i] : T(0);
        }
    }

    void scatter(const Column& from, T* to, std::int64_t stride) const {
        const T* own = at(from, 0);
        for (std::int64_t step = 0; step < call_.length; ++step, to += stride, own += lanes) {
            if (channels_ == lanes) store(to, load(own));
            else std::copy(own, own + channels_, to);
        }
    }

    // result_t = sum of kernel_(t - s) signal_s over s <= t; backwards, of kernel_(s - t) signal_s over s >= t.
    template <bool Forwards, bool Add>
    void convolve(const Column& signal, const Column& kernel) {
        const std::int64_t length = call_.length;
        for (std::int64_t first = 0; first < length; first += at_once) {
            Vector<T> sums[at_once];
            for (int i = 0; i < at_once; ++i) sums[i] = Add ? load(at(result_, first + i)) : Vector<T>{};
            const std::int64_t start = Forwards ? 0 : first, end = Forwards ? std::min(length, first + at_once) : length;
            for (std::int64_t s = start; s < end; ++s) {
                const Vector<T> x = load(at(signal, s));
                const T* near = at(kernel, Forwards ? first - s : s - first);
                for (int i = 0; i < at_once; ++i) sums[i] += x * load(near + (Forwards ? i : -i) * lanes);
            }
            for (int i = 0; i < at_once && first + i < length; ++i) store(at(result_, first + i), sums[i]);
        }
    }

    // to_k += sum of late_(t + k) early_t.
    void correlate(const Column& late, const Column& early, Column& to) const {
        const std::int64_t length = call_.length;
        for (std::int64_t first = 0; first < length; first += at_once) {
            Vector<T> sums[at_once]{};
            for (std::int64_t t = 0; t + first < length; ++t) {
                const Vector<T> x = load(at(early, t));
                const T* near = at(late, t + first);
                for (int i = 0; i < at_once; ++i) sums[i] += x * load(near + i * lanes);
            }
            for (int i = 0; i < at_once && first + i < length; ++i) store(at(to, first + i), load(at(to, first + i)) + sums[i]);
        }
    }

    const Convolution<T>& call_;
    std::size_t size_;
    int channels_ = lanes;
    Column signal_, forwards_, backwards_, result_, ahead_, behind_, of_forwards_, of_backwards_;
};

template <class T>
void convolve(const Convolution<T>& call) {
    on_threads(call.parts, [&](std::int64_t part) { Convolver<T>(call).run(part); });
}

}  // namespace nestree
