// Products of bfloat16 numbers with float32 sums: the processor adds the products of two pairs to each sum at once.
#pragma once

#include <cstdint>
#include <cstring>

#include "simd.hpp"

#if defined(__AVX512F__)
#include <immintrin.h>
// Of a library for any processor with AVX-512: these functions are called only where `multiplies_bfloat16`.
#define NESTREE_BFLOAT16 __attribute__((target("avx512bf16")))
#endif

namespace nestree {

// Two bfloat16 numbers, the first one in the lower half.
using Bfloat16Pair = std::uint32_t;

inline std::uint32_t bfloat16_bits(float x) {
    std::uint32_t bits;
    std::memcpy(&bits, &x, sizeof bits);
    if ((bits & 0x7FFFFFFFu) > 0x7F800000u) return (bits >> 16) | 64;  // NaN remains NaN
    return (bits + 0x7FFFu + (bits >> 16 & 1)) >> 16;                  // rounds to the nearest, to even
}

inline Bfloat16Pair bfloat16_pair(float first, float second) { return bfloat16_bits(first) | bfloat16_bits(second) << 16; }

#if defined(__AVX512F__)

constexpr bool bfloat16_products = true;

// Whether this processor has such products.
inline bool multiplies_bfloat16() {
    static const bool found = __builtin_cpu_supports("avx512bf16");
    return found;
}

// Pairs of neighbouring columns of a row; of an odd number the last one is paired with 0.
NESTREE_BFLOAT16 inline void pair_columns(const float* from, int columns, Bfloat16Pair* to) {
    int k = 0;
    for (; k + 32 <= columns; k += 32)
        _mm512_storeu_si512(to + k / 2, (__m512i)_mm512_cvtne2ps_pbh(_mm512_loadu_ps(from + k + 16), _mm512_loadu_ps(from + k)));
    for (; k < columns; k += 2) to[k / 2] = bfloat16_pair(from[k], k + 1 < columns ? from[k + 1] : 0.0f);
}

NESTREE_BFLOAT16 inline __m512i bfloat16_of(const float* from) {
    return _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(_mm512_loadu_ps(from)));
}

// Pairs of neighbouring rows, column by column; of an odd number the last one is paired with 0.
NESTREE_BFLOAT16 inline void pair_rows(const float* from, long step, int rows, long columns, Bfloat16Pair* to, long to_step) {
    for (int k = 0; k < rows; k += 2, from += 2 * step, to += to_step) {
        const float* next = k + 1 < rows ? from + step : nullptr;
        long j = 0;
        for (; j + 16 <= columns; j += 16) {
            const __m512i upper = next ? _mm512_slli_epi32(bfloat16_of(next + j), 16) : _mm512_setzero_si512();
            _mm512_storeu_si512(to + j, _mm512_or_si512(bfloat16_of(from + j), upper));
        }
        for (; j < columns; ++j) to[j] = bfloat16_pair(from[j], next ? next[j] : 0.0f);
    }
}

template <int Rows, bool Add>
NESTREE_BFLOAT16 inline void bfloat16_tile(const Bfloat16Pair* a, long a_row, long a_pair, const Bfloat16Pair* b, long b_step, int depth, const float* bias, float* c,
                          long c_step) {
    __m512 left[Rows], right[Rows];
    for (int i = 0; i < Rows; ++i) {
        const float* start = Add ? c + i * c_step : bias;
        left[i] = start ? _mm512_loadu_ps(start) : _mm512_setzero_ps();
        right[i] = start ? _mm512_loadu_ps(start + 16) : _mm512_setzero_ps();
    }
    for (int k = 0; k < depth; ++k, b += b_step) {
        const __m512bh b_left = (__m512bh)_mm512_loadu_si512(b), b_right = (__m512bh)_mm512_loadu_si512(b + 16);
#pragma GCC unroll 12
        for (int i = 0; i < Rows; ++i) {
            const __m512bh x = (__m512bh)_mm512_set1_epi32(static_cast<int>(a[i * a_row + k * a_pair]));
            left[i] = _mm512_dpbf16_ps(left[i], x, b_left);
            right[i] = _mm512_dpbf16_ps(right[i], x, b_right);
        }
    }
    for (int i = 0; i < Rows; ++i) {
        _mm512_storeu_ps(c + i * c_step, left[i]);
        _mm512_storeu_ps(c + i * c_step + 16, right[i]);
    }
}

// 32 columns of C = A B + bias, or of C += A B: pair k of A's row i is at a[i * a_row + k * a_pair], and 32 pairs of B begin at b[k * b_step].
template <bool Add>
NESTREE_BFLOAT16 inline void bfloat16_tiles(const Bfloat16Pair* a, long a_row, long a_pair, int rows, const Bfloat16Pair* b, long b_step, int depth, const float* bias,
                           float* c, long c_step) {
    int row = 0;
    for (; row + 12 <= rows; row += 12) bfloat16_tile<12, Add>(a + row * a_row, a_row, a_pair, b, b_step, depth, bias, c + row * c_step, c_step);
    for (; row + 4 <= rows; row += 4) bfloat16_tile<4, Add>(a + row * a_row, a_row, a_pair, b, b_step, depth, bias, c + row * c_step, c_step);
    for (; row < rows; ++row) bfloat16_tile<1, Add>(a + row * a_row, a_row, a_pair, b, b_step, depth, bias, c + row * c_step, c_step);
}

#else

constexpr bool bfloat16_products = false;

inline bool multiplies_bfloat16() { return false; }

// Never called.
void pair_columns(const float*, int, Bfloat16Pair*);
void pair_rows(const float*, long, int, long, Bfloat16Pair*, long);
template <bool Add>
void bfloat16_tiles(const Bfloat16Pair*, long, long, int, const Bfloat16Pair*, long, int, const float*, float*, long);

#endif

}  // namespace nestree
