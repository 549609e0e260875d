// Vectors of the target's width, and the cell's elementwise functions on them.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#if defined(__AVX512F__)
#define NESTREE_BYTES 64
#define NESTREE_ROWS 12  // of a product's tile: 24 of 32 registers hold sums
#elif defined(__AVX__)
#define NESTREE_BYTES 32
#define NESTREE_ROWS 6
#else
#define NESTREE_BYTES 16
#define NESTREE_ROWS 8
#endif

namespace nestree {

template <class T>
struct Simd {
    static constexpr int width = NESTREE_BYTES / sizeof(T);
    typedef T Vector __attribute__((vector_size(NESTREE_BYTES)));
    typedef T Unaligned __attribute__((vector_size(NESTREE_BYTES), aligned(sizeof(T)), may_alias));
};

template <class T>
using Vector = typename Simd<T>::Vector;

template <class T>
inline Vector<T> load(const T* from) {
    return *reinterpret_cast<const typename Simd<T>::Unaligned*>(from);
}

template <class T>
inline void store(T* to, Vector<T> value) {
    *reinterpret_cast<typename Simd<T>::Unaligned*>(to) = value;
}

template <class T>
inline T sum(Vector<T> value) {
    T total = 0;
    for (int i = 0; i < Simd<T>::width; ++i) total += value[i];
    return total;
}

// The length of a row padded to whole tiles, as the products require.
template <class T>
inline long padded(long columns) {
    constexpr long tile = 2 * Simd<T>::width;
    return (columns + tile - 1) / tile * tile;
}

// e^x; float32 is accurate to two units in the last place, and x is clamped to the finite range.
inline float exponential(float x) {
    x = x < -87.0f ? -87.0f : x;
    x = x > 88.0f ? 88.0f : x;
    const float shifted = x * 1.44269504f + 12582912.0f;  // rounds to the nearest integer
    const float whole = shifted - 12582912.0f;
    float r = x - whole * 0.693359375f;
    r = r - whole * -2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    const std::int32_t bits = (static_cast<std::int32_t>(whole) + 127) << 23;
    float scale;
    std::memcpy(&scale, &bits, sizeof scale);
    return p * scale;
}

inline double exponential(double x) { return std::exp(x); }

// log x of a normal number x > 0; float32 is accurate to two units in the last place.
inline float logarithm(float x) {
    std::int32_t bits;
    std::memcpy(&bits, &x, sizeof bits);
    const std::int32_t exponent = (bits - 0x3F3504F3) >> 23;  // so that the rest is from sqrt(1/2) to sqrt(2)
    bits -= exponent << 23;
    float rest;
    std::memcpy(&rest, &bits, sizeof rest);
    const float r = rest - 1.0f, whole = static_cast<float>(exponent);
    float p = 7.0376836292e-2f;
    p = p * r - 1.1514610310e-1f;
    p = p * r + 1.1676998740e-1f;
    p = p * r - 1.2420140846e-1f;
    p = p * r + 1.4249322787e-1f;
    p = p * r - 1.6668057665e-1f;
    p = p * r + 2.0000714765e-1f;
    p = p * r - 2.4999993993e-1f;
    p = p * r + 3.3333331174e-1f;
    const float square = r * r;
    const float low = p * r * square + whole * -2.12194440e-4f - 0.5f * square;
    return r + low + whole * 0.693359375f;
}

template <class T>
inline T sigmoid(T x) {
    return T(1) / (T(1) + exponential(-x));
}

// The normal distribution function; float32 by a rational function with a fitting error (7e-10) below rounding.
inline float normal_cdf(float x) {
    float clipped = x < -5.6f ? -5.6f : x;
    clipped = clipped > 5.6f ? 5.6f : clipped;
    const float t = clipped * clipped;
    float above = -7.465662810179907e-11f;
    above = above * t + 5.2495806812657975e-08f;
    above = above * t + 8.43275756778894e-06f;
    above = above * t + 0.00016956082254182547f;
    above = above * t + 0.0048002866096794605f;
    above = above * t + 0.032653991132974625f;
    above = above * t + 0.3989422917366028f;
    float below = 1.9917106328648515e-06f;
    below = below * t + 8.172387606464326e-05f;
    below = below * t + 0.0019305117893964052f;
    below = below * t + 0.02845199778676033f;
    below = below * t + 0.2485181838274002f;
    below = below * t + 1.0f;
    return 0.5f + clipped * above / below;
}

inline double normal_cdf(double x) { return 0.5 * (1.0 + std::erf(x * 0.70710678118654752440)); }

template <class T>
inline T gelu(T x) {
    return x * normal_cdf(x);
}

template <class T>
inline T gelu_slope(T x) {
    return normal_cdf(x) + x * exponential(T(-0.5) * x * x) * T(0.39894228040143267794);
}

// splitmix64's next output for a state (Steele et al. 2014), as in `mix_bits` in Python.
inline std::uint64_t mix_bits(std::uint64_t bits) {
    bits += 0x9E3779B97F4A7C15ull;
    bits = (bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9ull;
    bits = (bits ^ (bits >> 27)) * 0x94D049BB133111EBull;
    return bits ^ (bits >> 31);
}

}  // namespace nestree
