// The gated recursive cell and the pair scorer: their weights packed for products, and the store that they fill.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "matrix.hpp"

namespace nestree {

// Random numbers by their coordinates: those of `KeyedDraws` (exact), or others with fewer hashes (fast).
enum Draws : std::int64_t { none = 0, exact = 1, fast = 2 };
enum Kind : std::uint64_t { of_pair = 0, of_candidate = 1, of_mask = 4 };

struct Place {
    std::uint64_t seed, sequence, level, group;

    std::uint64_t key(Kind kind, std::uint64_t step) const {
        std::uint64_t key = mix_bits(seed);
        for (std::uint64_t coordinate : {static_cast<std::uint64_t>(kind), sequence, level, group, step})
            key = mix_bits(key + coordinate);
        return key;
    }
};

// The parameters, passed by Python. Matrices are row-major (out, in), as in torch.nn.Linear.
template <class T>
struct Weights {
    std::int64_t dim, hidden, width;  // D, 4 D, S
    const T *hidden_weight, *hidden_bias, *gates_weight, *gates_bias, *norm_weight, *norm_bias;
    const T *scorer_weight, *scorer_bias, *score_weight;
    double eps, dropout;
    std::int64_t bfloat16;  // whether the cell multiplies bfloat16 numbers, if this processor does
};

// The node store's tables, (capacity, ...) each. Leaves are its first rows.
template <class T>
struct Store {
    T *states, *left_half, *right_half;
    T *hidden, *gates;        // saved for a backward pass, or null: before the GELU; the three sigmoids and the new state.
    std::uint64_t* mask_key;  // the key of each node's dropout mask, or null
    std::int64_t *left, *right, *height;
    std::int64_t leaves, capacity;
};

template <class T>
std::vector<T> padded_copy(const T* from, long count) {
    std::vector<T> copy(padded<T>(count), T(0));
    if (from) std::copy(from, from + count, copy.begin());
    return copy;
}

template <class T>
struct Model {
    explicit Model(const Weights<T>& w, bool backward)
        : dim(w.dim), hidden(w.hidden), width(w.width), eps(w.eps), scale(1.0 / (1.0 - w.dropout)),
          // As in `dropout_mask`: 16-bit numbers below this give 0.
          least(std::min<long>(std::lround(w.dropout * 65536.0), 65535) - 32768),
          factors(has_bfloat16<T> && w.bfloat16 && multiplies_bfloat16() ? Factors::bfloat16 : Factors::whole) {
        pack_halves(w, backward);
        if (w.hidden_weight && backward) {  // null where the cell is not the library's
            gates_back = Packed<T>(4 * dim, hidden, factors, [&](int k, int n) { return w.gates_weight[long(k) * hidden + n]; });
            hidden_back = Packed<T>(hidden, 2 * dim, factors, [&](int k, int n) { return w.hidden_weight[long(k) * 2 * dim + n]; });
        } else if (w.hidden_weight) {
            to_hidden = Packed<T>(2 * dim, hidden, factors, [&](int k, int n) { return w.hidden_weight[long(n) * 2 * dim + k]; });
            to_gates = Packed<T>(hidden, 4 * dim, factors, [&](int k, int n) { return w.gates_weight[long(n) * hidden + k]; });
        }
        hidden_bias = padded_copy(w.hidden_bias, hidden);
        gates_bias = padded_copy(w.gates_bias, 4 * dim);
        norm_weight = padded_copy(w.norm_weight, dim);
        norm_bias = padded_copy(w.norm_bias, dim);
        halves_bias = padded_copy(static_cast<const T*>(nullptr), 2 * width);
        std::copy(w.scorer_bias, w.scorer_bias + width, halves_bias.begin());
        score = padded_copy(w.score_weight, width);
    }

    // The scaled mask, 0 or 1 / (1 - dropout), for each hidden feature of the node with this key.
    void mask(std::uint64_t key, Draws draws, T* to) const {
        if (draws == exact) {
            for (int i = 0; i < hidden; ++i) to[i] = kept(static_cast<std::int16_t>(mix_bits(key + i)));
            return;
        }
        for (int i = 0; i < hidden; i += 4) {
            const std::uint64_t bits = mix_bits(key + i);
            for (int j = 0; j < 4 && i + j < hidden; ++j) to[i + j] = kept(static_cast<std::int16_t>(bits >> (16 * j)));
        }
    }

    // The scorer's logit of a pair, from the halves of its hidden layer.
    T logit(const T* left, const T* right) const {
        constexpr int at_once = 64;
        T terms[at_once];
        Vector<T> total{};
        T rest = 0;
        for (int first = 0; first < width; first += at_once) {
            const int count = std::min(at_once, width - first);
            for (int i = 0; i < count; ++i) terms[i] = gelu(left[first + i] + right[first + i]) * score[first + i];
            int i = 0;
            for (; i + Simd<T>::width <= count; i += Simd<T>::width) total += load(terms + i);
            for (; i < count; ++i) rest += terms[i];
        }
        return sum<T>(total) + rest;
    }

    int dim, hidden, width;
    double eps;
    T scale;
    int least;
    Factors factors;  // of the cell; the scorer's are whole, as selection is sensitive to rounding
    Packed<T> to_hidden, to_gates, to_halves, gates_back, hidden_back, halves_back;
    std::vector<T> hidden_bias, gates_bias, norm_weight, norm_bias, halves_bias, score;

   private:
    void pack_halves(const Weights<T>& w, bool backward) {
        if (backward)
            halves_back = Packed<T>(2 * width, width, Factors::whole, [&](int k, int n) {
                return w.scorer_weight[long(k % width) * 2 * width + (k < width ? 0 : width) + n];
            });
        else
            to_halves = Packed<T>(width, 2 * width, Factors::whole, [&](int k, int n) {
                return w.scorer_weight[long(n % width) * 2 * width + (n < width ? 0 : width) + k];
            });
    }

    T kept(std::int16_t bits) const { return bits >= least ? scale : T(0); }
};

// Nodes to compose, as rows of the store.
struct Job {
    std::int64_t left, right, row;
    std::uint64_t mask_key;
};

// Composes nodes, a few dozen at a time, so that intermediate results stay in the cache.
template <class T>
class Composer {
   public:
    Composer(const Model<T>& model, const Store<T>& store, Draws dropout) : model_(model), store_(store), dropout_(dropout) {}

    void compose(const std::vector<Job>& jobs) {
        for (std::size_t first = 0; first < jobs.size(); first += rows_at_once)
            part(jobs.data() + first, static_cast<int>(std::min<std::size_t>(rows_at_once, jobs.size() - first)));
    }

    // Computes the halves of the scorer's hidden layer for rows whose states are known.
    void project(std::int64_t first, std::int64_t end) {
        const int width = model_.width;
        const long step = padded<T>(2 * width);
        for (; first < end; first += rows_at_once) {
            const int rows = static_cast<int>(std::min<std::int64_t>(rows_at_once, end - first));
            T* halves = halves_.of(rows * step);
            product(store_.states + first * model_.dim, model_.dim, rows, model_.to_halves, model_.halves_bias.data(), halves, step);
            for (int i = 0; i < rows; ++i) put_halves(halves + i * step, first + i);
        }
    }

   private:
    static constexpr int rows_at_once = 96;

    void put_halves(const T* halves, std::int64_t row) {
        const int width = model_.width;
        std::copy(halves, halves + width, store_.left_half + row * width);
        std::copy(halves + width, halves + 2 * width, store_.right_half + row * width);
    }

    void part(const Job* jobs, int rows) {
        const int dim = model_.dim, hidden = model_.hidden;
        const long hidden_step = padded<T>(hidden), gates_step = padded<T>(4 * dim), halves_step = padded<T>(2 * model_.width);
        T* children = children_.of(rows * 2L * dim);
        T* active = active_.of(rows * hidden_step);
        T* gates = gates_.of(rows * gates_step);
        T* states = states_.of(rows * static_cast<long>(dim));
        T* halves = halves_.of(rows * halves_step);
        for (int i = 0; i < rows; ++i) {
            const T *left = store_.states + jobs[i].left * dim, *right = store_.states + jobs[i].right * dim;
            std::copy(left, left + dim, children + 2L * i * dim);
            std::copy(right, right + dim, children + (2L * i + 1) * dim);
        }
        product(children, 2 * dim, rows, model_.to_hidden, model_.hidden_bias.data(), active, hidden_step);
        for (int i = 0; i < rows; ++i) {
            T* own = active + i * hidden_step;
            if (store_.hidden) std::copy(own, own + hidden, store_.hidden + jobs[i].row * hidden);
            for (int j = 0; j < hidden; ++j) own[j] = gelu(own[j]);
            if (dropout_ != none) {
                T* mask = mask_.of(hidden_step);
                model_.mask(jobs[i].mask_key, dropout_, mask);
                for (int j = 0; j < hidden; ++j) own[j] *= mask[j];
            }
        }
        product(active, hidden_step, rows, model_.to_gates, model_.gates_bias.data(), gates, gates_step);
        for (int i = 0; i < rows; ++i) {
            T *own = gates + i * gates_step, *state = states + static_cast<long>(i) * dim;
            for (int j = 0; j < 3 * dim; ++j) own[j] = sigmoid(own[j]);
            if (store_.gates) std::copy(own, own + 4 * dim, store_.gates + jobs[i].row * 4 * dim);
            mix(children + 2L * i * dim, own, dim, state);
            normalize(state);
            std::copy(state, state + dim, store_.states + jobs[i].row * dim);
            store_.left[jobs[i].row] = jobs[i].left;
            store_.right[jobs[i].row] = jobs[i].right;
            store_.height[jobs[i].row] = std::max(store_.height[jobs[i].left], store_.height[jobs[i].right]) + 1;
            if (store_.mask_key) store_.mask_key[jobs[i].row] = jobs[i].mask_key;
        }
        product(states, dim, rows, model_.to_halves, model_.halves_bias.data(), halves, halves_step);
        for (int i = 0; i < rows; ++i) put_halves(halves + i * halves_step, jobs[i].row);
    }

    void normalize(T* state) const {
        const int dim = model_.dim;
        T centre, spread;
        moments(state, dim, model_.eps, centre, spread);
        for (int j = 0; j < dim; ++j) state[j] = (state[j] - centre) * spread * model_.norm_weight[j] + model_.norm_bias[j];
    }

    const Model<T>& model_;
    const Store<T>& store_;
    Draws dropout_;
    Scratch<T> children_, active_, gates_, states_, halves_, mask_;

   public:
    // sigmoid(a) l + sigmoid(b) r + sigmoid(c) z, where `opened` holds the sigmoids and z.
    static void mix(const T* children, const T* opened, int dim, T* to) {
        for (int j = 0; j < dim; ++j)
            to[j] = opened[j] * children[j] + opened[dim + j] * children[dim + j] + opened[2 * dim + j] * opened[3 * dim + j];
    }

    // The mean, and one over the standard deviation.
    static void moments(const T* state, int dim, double eps, T& centre, T& spread) {
        constexpr int width = Simd<T>::width;
        Vector<T> total{};
        T rest = 0;
        int j = 0;
        for (; j + width <= dim; j += width) total += load(state + j);
        for (; j < dim; ++j) rest += state[j];
        centre = (sum<T>(total) + rest) / T(dim);
        total = Vector<T>{};
        rest = 0;
        for (j = 0; j + width <= dim; j += width) {
            const Vector<T> away = load(state + j) - centre;
            total += away * away;
        }
        for (; j < dim; ++j) rest += (state[j] - centre) * (state[j] - centre);
        spread = T(1) / std::sqrt((sum<T>(total) + rest) / T(dim) + T(eps));
    }
};

}  // namespace nestree
