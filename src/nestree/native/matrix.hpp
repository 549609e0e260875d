// Matrix products for few rows, as in a step of a search, with weights that are packed once.
#pragma once

#include <algorithm>
#include <type_traits>
#include <vector>

#include "bfloat16.hpp"

namespace nestree {

// A buffer that is reused, with whole tiles of slack at its end.
template <class T>
class Scratch {
   public:
    T* of(long count) {
        if (static_cast<long>(data_.size()) < count) data_.resize(count);
        return data_.data();
    }

   private:
    std::vector<T> data_;
};

// Numbers that a product multiplies: those of T, or float32 rounded to bfloat16 where the processor multiplies these.
enum class Factors { whole, bfloat16 };

template <class T>
constexpr bool has_bfloat16 = bfloat16_products && std::is_same_v<T, float>;

// B (K, N) in panels of two vectors of columns, so that the product reads memory sequentially.
template <class T>
class Packed {
   public:
    Packed() = default;

    // `at(k, n)` returns the elements of B.
    template <class At>
    Packed(int rows, int columns, Factors factors, At at) : rows_(rows), columns_(columns), factors_(factors) {
        constexpr int panel = 2 * Simd<T>::width;
        const auto within = [&](int k, int n) { return k < rows && n < columns ? at(k, n) : T(0); };
        const bool paired = factors == Factors::bfloat16;
        if (paired) pairs_.reserve((rows + 1) / 2 * padded<T>(columns));
        else data_.reserve(rows * padded<T>(columns));
        for (int first = 0; first < columns; first += panel)
            for (int k = 0; k < rows; k += paired ? 2 : 1)
                for (int n = first; n < first + panel; ++n) {
                    if (paired) pairs_.push_back(bfloat16_pair(within(k, n), within(k + 1, n)));
                    else data_.push_back(within(k, n));
                }
    }

    int rows() const { return rows_; }
    int columns() const { return columns_; }
    Factors factors() const { return factors_; }
    const T* panel(int first) const { return data_.data() + static_cast<long>(first) * rows_; }
    const Bfloat16Pair* pairs(int first) const { return pairs_.data() + static_cast<long>(first) * ((rows_ + 1) / 2); }

   private:
    int rows_ = 0, columns_ = 0;
    Factors factors_ = Factors::whole;
    std::vector<T> data_;
    std::vector<Bfloat16Pair> pairs_;  // of two rows each
};

template <class T, int Rows>
inline void tile_product(const T* a, long a_step, const T* panel, int depth, const T* bias, T* c, long c_step) {
    constexpr int width = Simd<T>::width;
    Vector<T> left[Rows], right[Rows];
    for (int i = 0; i < Rows; ++i) {
        left[i] = bias ? load(bias) : Vector<T>{};
        right[i] = bias ? load(bias + width) : Vector<T>{};
    }
    for (int k = 0; k < depth; ++k, panel += 2 * width) {
        const Vector<T> b_left = load(panel), b_right = load(panel + width);
#pragma GCC unroll 12
        for (int i = 0; i < Rows; ++i) {
            const T x = a[i * a_step + k];
            left[i] += x * b_left;
            right[i] += x * b_right;
        }
    }
    for (int i = 0; i < Rows; ++i) {
        store(c + i * c_step, left[i]);
        store(c + i * c_step + width, right[i]);
    }
}

// C (rows, N) = A (rows, K) B + bias; C's rows are padded to whole panels, as is the bias (which may be null).
template <class T>
void product(const T* a, long a_step, int rows, const Packed<T>& b, const T* bias, T* c, long c_step) {
    constexpr int panel = 2 * Simd<T>::width;
    if constexpr (has_bfloat16<T>) {
        if (b.factors() == Factors::bfloat16) {
            const int depth = (b.rows() + 1) / 2;
            static thread_local Scratch<Bfloat16Pair> scratch;
            Bfloat16Pair* pairs = scratch.of(static_cast<long>(rows) * depth);
            for (int row = 0; row < rows; ++row) pair_columns(a + row * a_step, b.rows(), pairs + static_cast<long>(row) * depth);
            for (int first = 0; first < b.columns(); first += panel)
                bfloat16_tiles<false>(pairs, depth, 1, rows, b.pairs(first), panel, depth, bias ? bias + first : nullptr, c + first, c_step);
            return;
        }
    }
    for (int first = 0; first < b.columns(); first += panel) {
        const T* packed = b.panel(first);
        const T* own_bias = bias ? bias + first : nullptr;
        int row = 0;
        for (; row + NESTREE_ROWS <= rows; row += NESTREE_ROWS)
            tile_product<T, NESTREE_ROWS>(a + row * a_step, a_step, packed, b.rows(), own_bias, c + row * c_step + first, c_step);
        for (; row + 4 <= rows; row += 4)
            tile_product<T, 4>(a + row * a_step, a_step, packed, b.rows(), own_bias, c + row * c_step + first, c_step);
        for (; row < rows; ++row)
            tile_product<T, 1>(a + row * a_step, a_step, packed, b.rows(), own_bias, c + row * c_step + first, c_step);
    }
}

template <class T, int Rows>
inline void tile_outer(const T* a, long a_step, const T* b, long b_step, int depth, T* c, long c_step) {
    constexpr int width = Simd<T>::width;
    Vector<T> left[Rows], right[Rows];
    for (int i = 0; i < Rows; ++i) {
        left[i] = load(c + i * c_step);
        right[i] = load(c + i * c_step + width);
    }
    for (int k = 0; k < depth; ++k) {
        const Vector<T> b_left = load(b + k * b_step), b_right = load(b + k * b_step + width);
#pragma GCC unroll 12
        for (int i = 0; i < Rows; ++i) {
            const T x = a[k * a_step + i];
            left[i] += x * b_left;
            right[i] += x * b_right;
        }
    }
    for (int i = 0; i < Rows; ++i) {
        store(c + i * c_step, left[i]);
        store(c + i * c_step + width, right[i]);
    }
}

// C (M, N) += A^T B for A (depth, M) and B (depth, N); rows of B and C are padded to whole panels.
template <class T>
void add_outer(const T* a, long a_step, int m, const T* b, long b_step, int n, int depth, T* c, long c_step, Factors factors) {
    constexpr int panel = 2 * Simd<T>::width, at_once = 192;
    if constexpr (has_bfloat16<T>) {
        if (factors == Factors::bfloat16) {
            static thread_local Scratch<Bfloat16Pair> of_a, of_b;
            const long columns = padded<T>(n);
            for (int from = 0; from < depth; from += 2 * at_once) {
                const int part = std::min(depth - from, 2 * at_once), pairs = (part + 1) / 2;
                Bfloat16Pair *left = of_a.of(static_cast<long>(pairs) * m), *right = of_b.of(pairs * columns);
                pair_rows(a + from * a_step, a_step, part, m, left, m);
                pair_rows(b + from * b_step, b_step, part, columns, right, columns);
                for (int first = 0; first < n; first += panel)
                    bfloat16_tiles<true>(left, 1, m, m, right + first, columns, pairs, nullptr, c + first, c_step);
            }
            return;
        }
    }
    for (int from = 0; from < depth; from += at_once) {
        const int part = depth - from < at_once ? depth - from : at_once;
        const T* own_a = a + from * a_step;
        for (int first = 0; first < n; first += panel) {
            const T* own_b = b + from * b_step + first;
            int row = 0;
            for (; row + NESTREE_ROWS <= m; row += NESTREE_ROWS)
                tile_outer<T, NESTREE_ROWS>(own_a + row, a_step, own_b, b_step, part, c + row * c_step + first, c_step);
            for (; row + 4 <= m; row += 4)
                tile_outer<T, 4>(own_a + row, a_step, own_b, b_step, part, c + row * c_step + first, c_step);
            for (; row < m; ++row)
                tile_outer<T, 1>(own_a + row, a_step, own_b, b_step, part, c + row * c_step + first, c_step);
        }
    }
}

}  // namespace nestree
