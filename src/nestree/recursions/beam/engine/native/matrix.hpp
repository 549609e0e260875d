// Matrix products for few rows, as in a step of a search, with weights that are packed once.
#pragma once

#include <vector>

#include "simd.hpp"

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

// B (K, N) in panels of two vectors of columns, so that the product reads memory sequentially.
template <class T>
class Packed {
   public:
    Packed() = default;

    // `at(k, n)` returns the elements of B.
    template <class At>
    Packed(int rows, int columns, At at) : rows_(rows), columns_(columns), data_(rows * padded<T>(columns)) {
        constexpr int panel = 2 * Simd<T>::width;
        T* to = data_.data();
        for (int first = 0; first < columns; first += panel)
            for (int k = 0; k < rows; ++k)
                for (int n = first; n < first + panel; ++n) *to++ = n < columns ? at(k, n) : T(0);
    }

    int rows() const { return rows_; }
    int columns() const { return columns_; }
    const T* panel(int first) const { return data_.data() + static_cast<long>(first) * rows_; }

   private:
    int rows_ = 0, columns_ = 0;
    std::vector<T> data_;
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
void add_outer(const T* a, long a_step, int m, const T* b, long b_step, int n, int depth, T* c, long c_step) {
    constexpr int panel = 2 * Simd<T>::width, at_once = 192;
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
