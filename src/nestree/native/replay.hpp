// The replay: gradients of a search, pulled back through the surviving nodes.
#pragma once

#include "search.hpp"

namespace nestree {

// Pulls the gradient (G, W) of a level's final scores back through its steps: `start` (G, B) gets that of the initial
// scores, and the parts get that of their pairs' logits. Each step adds `logit(chosen) - logsumexp(frontier)`.
template <class T>
void score_gradient(History<T>& history, const T* gradient, T* start) {
    const std::int64_t width = history.beam_size;
    for (auto& part : history.parts) part.gradient.assign(part.pairs.size(), T(0));
    on_threads(static_cast<std::int64_t>(history.parts.size()), [&](std::int64_t number) {
        Part<T>& part = history.parts[number];
        std::vector<T> after(width), before(width), share;
        for (std::size_t group = 0; group < history.part.size(); ++group) {
            if (history.part[group] != number) continue;
            std::copy(gradient + group * width, gradient + (group + 1) * width, after.begin());
            const auto& choices = history.choices[group];
            for (auto choice = choices.rbegin(); choice != choices.rend(); ++choice) {
                std::fill(before.begin(), before.end(), T(0));
                for (int i = 0; i < choice->kept; ++i) {
                    const std::int32_t beam = part.beam[choice->picks + i];
                    before[beam] += after[i];
                    part.gradient[part.numbers[choice->logits + long(beam) * choice->pairs + part.position[choice->picks + i]]] += after[i];
                }
                share.resize(choice->pairs);
                for (int beam = 0; beam < choice->beams; ++beam) {
                    if (before[beam] == 0) continue;
                    const std::size_t first = choice->logits + long(beam) * choice->pairs;
                    const T log_norm = part.log_norm[choice->log_norm + beam];
                    for (int i = 0; i < choice->pairs; ++i) share[i] = exponential(part.logits[first + i] - log_norm) * before[beam];
                    for (int i = 0; i < choice->pairs; ++i) part.gradient[part.numbers[first + i]] -= share[i];
                }
                after.swap(before);
            }
            std::copy(after.begin(), after.begin() + history.first_beams, start + group * history.first_beams);
        }
    });
}

// Output tensors for gradients: as in Weights, and of the leaves (leaves, D).
template <class T>
struct Gradients {
    T *hidden_weight, *hidden_bias, *gates_weight, *gates_bias, *norm_weight, *norm_bias;
    T *scorer_weight, *scorer_bias, *score_weight, *leaves;
};

template <class T>
class Replay {
   public:
    Replay(const Model<T>& model, const Store<T>& store, Draws dropout, std::vector<History<T>*> histories, T* gradient)
        : model_(model), store_(store), dropout_(dropout), histories_(std::move(histories)), gradient_(gradient),
          touched_(store.capacity, 0) {}

    // `rows` (N,) have gradients (N, D) from outside; `parts` (N,) are the threads that they belong to.
    // Returns the number of replayed nodes.
    std::int64_t run(const std::int64_t* rows, const T* outside, const std::int64_t* part, std::int64_t count, std::int64_t parts,
             const Gradients<T>& to) {
        std::vector<Sums> sums(parts);
        on_threads(parts, [&](std::int64_t number) {
            Sums& own = sums[number];
            own.reset(model_);
            for (std::int64_t i = 0; i < count; ++i)
                if (part[i] == number) add(rows[i], outside + i * model_.dim);
            pull_pairs(number, own);
            if (to.hidden_weight) pull_nodes(number, own);
        });
        for (const Sums& own : sums) own.add_to(model_, to);
        for (std::int64_t row = 0; to.leaves && row < store_.leaves; ++row) {
            T* leaf = to.leaves + row * model_.dim;
            if (touched_[row]) std::copy(at(row), at(row) + model_.dim, leaf);
            else std::fill(leaf, leaf + model_.dim, T(0));
        }
        std::int64_t nodes = 0;
        for (const Sums& own : sums) nodes += own.nodes;
        return nodes;
    }

   private:
    // A thread's part of the parameters' gradients, with rows padded for the products.
    struct Sums {
        std::vector<T> hidden_weight, gates_weight, scorer_weight, hidden_bias, gates_bias, norm_weight, norm_bias, scorer_bias, score;
        std::int64_t nodes = 0;

        void reset(const Model<T>& m) {
            hidden_weight.assign(m.hidden * padded<T>(2 * m.dim), T(0));
            gates_weight.assign(4 * m.dim * padded<T>(m.hidden), T(0));
            scorer_weight.assign(2 * m.width * padded<T>(m.width), T(0));
            hidden_bias.assign(m.hidden, T(0));
            gates_bias.assign(4 * m.dim, T(0));
            norm_weight.assign(m.dim, T(0));
            norm_bias.assign(m.dim, T(0));
            scorer_bias.assign(m.width, T(0));
            score.assign(m.width, T(0));
        }

        static void add_rows(const std::vector<T>& from, int rows, int columns, T* to) {
            for (int i = 0; i < rows; ++i)
                for (int j = 0; j < columns; ++j) to[long(i) * columns + j] += from[i * padded<T>(columns) + j];
        }

        void add_to(const Model<T>& m, const Gradients<T>& to) const {
            for (int i = 0; i < 2 * m.width; ++i)  // the two halves are adjacent in the scorer's weight
                for (int j = 0; j < m.width; ++j)
                    to.scorer_weight[long(i % m.width) * 2 * m.width + (i < m.width ? 0 : m.width) + j] +=
                        scorer_weight[i * padded<T>(m.width) + j];
            const auto add = [](const std::vector<T>& from, T* sum) {
                for (std::size_t i = 0; i < from.size(); ++i) sum[i] += from[i];
            };
            add(scorer_bias, to.scorer_bias);
            add(score, to.score_weight);
            if (!to.hidden_weight) return;  // the cell is not the library's
            add_rows(hidden_weight, m.hidden, 2 * m.dim, to.hidden_weight);
            add_rows(gates_weight, 4 * m.dim, m.hidden, to.gates_weight);
            add(hidden_bias, to.hidden_bias);
            add(gates_bias, to.gates_bias);
            add(norm_weight, to.norm_weight);
            add(norm_bias, to.norm_bias);
        }
    };

    static constexpr int rows_at_once = 96;

    T* at(std::int64_t row) { return gradient_ + row * model_.dim; }

    void touch(std::int64_t row) {
        if (touched_[row]) return;
        touched_[row] = 1;
        std::fill(at(row), at(row) + model_.dim, T(0));
    }

    void add(std::int64_t row, const T* from) {
        touch(row);
        T* to = at(row);
        for (int j = 0; j < model_.dim; ++j) to[j] += from[j];
    }

    // The scorer: pulls gradients of pairs' logits back to its weights and the children's first features.
    void pull_pairs(std::int64_t number, Sums& sums) {
        const int width = model_.width;
        const long step = padded<T>(2 * width);
        std::vector<std::int32_t> place(store_.capacity, -1);
        std::vector<std::int64_t> rows;
        std::vector<T> halves, slope(width), active(width);
        const auto half = [&](std::int64_t row) {
            if (place[row] < 0) {
                place[row] = static_cast<std::int32_t>(rows.size());
                rows.push_back(row);
                halves.resize(rows.size() * step, T(0));
            }
            return static_cast<long>(place[row]) * step;
        };
        for (History<T>* history : histories_) {
            const Part<T>& part = history->parts[number];
            for (std::size_t i = 0; i < part.pairs.size(); ++i) {
                const T gradient = part.gradient[i];
                if (gradient == 0) continue;
                const Pair pair = part.pairs[i];
                const T *left = store_.left_half + long(pair.left) * width, *right = store_.right_half + long(pair.right) * width;
                const long of_left = half(pair.left), of_right = half(pair.right);
                T *to_left = halves.data() + of_left, *to_right = halves.data() + of_right + width;
                T *of_score = sums.score.data(), *of_bias = sums.scorer_bias.data();
                const T* score = model_.score.data();
                for (int j = 0; j < width; ++j) {
                    const T hidden = left[j] + right[j], below = normal_cdf(hidden);
                    const T along = below + hidden * exponential(T(-0.5) * hidden * hidden) * T(0.39894228040143267794);
                    slope[j] = gradient * score[j] * along;
                    active[j] = gradient * hidden * below;
                }
                for (int j = 0; j < width; ++j) {
                    to_left[j] += slope[j];
                    of_score[j] += active[j];
                    of_bias[j] += slope[j];
                }
                for (int j = 0; j < width; ++j) to_right[j] += slope[j];
            }
        }
        Scratch<T> states, below;
        const long seen_step = padded<T>(width);
        for (std::size_t first = 0; first < rows.size(); first += rows_at_once) {
            const int count = static_cast<int>(std::min<std::size_t>(rows_at_once, rows.size() - first));
            T* seen = states.of(count * seen_step);
            T* gradient = below.of(count * seen_step);
            for (int i = 0; i < count; ++i) {
                const T* state = store_.states + rows[first + i] * model_.dim;
                std::copy(state, state + width, seen + i * seen_step);
            }
            const T* own = halves.data() + first * step;
            add_outer(own, step, 2 * width, seen, seen_step, width, count, sums.scorer_weight.data(), seen_step, Factors::whole);
            product(own, step, count, model_.halves_back, static_cast<const T*>(nullptr), gradient, seen_step);
            for (int i = 0; i < count; ++i) {
                touch(rows[first + i]);
                T* to = at(rows[first + i]);
                for (int j = 0; j < width; ++j) to[j] += gradient[i * seen_step + j];
            }
        }
    }

    // The cell: nodes by height, highest first: a node's gradient is complete once all nodes above it are done.
    void pull_nodes(std::int64_t number, Sums& sums) {
        std::vector<std::vector<std::int64_t>> by_height;
        for (auto history = histories_.rbegin(); history != histories_.rend(); ++history) {
            const std::int64_t base = (*history)->base[number];
            for (std::int64_t row = base + (*history)->used[number] - 1; row >= base; --row) {  // parents come later
                if (!touched_[row]) continue;
                touch(store_.left[row]);
                touch(store_.right[row]);
                const std::size_t height = store_.height[row];
                if (by_height.size() <= height) by_height.resize(height + 1);
                by_height[height].push_back(row);
            }
        }
        Buffers buffers(model_);
        for (std::size_t height = by_height.size(); height-- > 1;) {
            const auto& rows = by_height[height];
            for (std::size_t first = 0; first < rows.size(); first += rows_at_once)
                pull_back(rows.data() + first, static_cast<int>(std::min<std::size_t>(rows_at_once, rows.size() - first)), sums, buffers);
        }
        buffers.flush(model_, sums);
    }

    // The factors of the weights' gradients, gathered until a product is worthwhile.
    struct Buffers {
        static constexpr int room = 4 * rows_at_once;

        explicit Buffers(const Model<T>& m)
            : children_step(padded<T>(2 * m.dim)), hidden_step(padded<T>(m.hidden)), gates_step(padded<T>(4 * m.dim)),
              children(room * children_step), active(room * hidden_step), of_hidden(room * hidden_step), of_gates(room * gates_step),
              below(rows_at_once * children_step), slope(hidden_step), mask(hidden_step), mixed(padded<T>(m.dim)) {}

        void flush(const Model<T>& m, Sums& sums) {
            add_outer(of_gates.data(), gates_step, 4 * m.dim, active.data(), hidden_step, m.hidden, rows, sums.gates_weight.data(), hidden_step,
                      m.factors);
            add_outer(of_hidden.data(), hidden_step, m.hidden, children.data(), children_step, 2 * m.dim, rows, sums.hidden_weight.data(),
                      children_step, m.factors);
            rows = 0;
        }

        long children_step, hidden_step, gates_step;
        std::vector<T> children, active, of_hidden, of_gates, below, slope, mask, mixed;
        int rows = 0;
    };

    void pull_back(const std::int64_t* rows, int count, Sums& sums, Buffers& b) {
        const int dim = model_.dim, hidden = model_.hidden;
        if (b.rows + count > Buffers::room) b.flush(model_, sums);
        T* children = b.children.data() + b.rows * b.children_step;
        T* active = b.active.data() + b.rows * b.hidden_step;
        T* of_hidden = b.of_hidden.data() + b.rows * b.hidden_step;
        T* of_gates = b.of_gates.data() + b.rows * b.gates_step;
        for (int i = 0; i < count; ++i) {
            const T *left = store_.states + store_.left[rows[i]] * dim, *right = store_.states + store_.right[rows[i]] * dim;
            T* own = children + i * b.children_step;
            std::copy(left, left + dim, own);
            std::copy(right, right + dim, own + dim);
            open_gates(store_.gates + rows[i] * 4 * dim, at(rows[i]), own, of_gates + i * b.gates_step, b.mixed.data(), sums);
        }
        product(of_gates, b.gates_step, count, model_.gates_back, static_cast<const T*>(nullptr), of_hidden, b.hidden_step);
        for (int i = 0; i < count; ++i) {
            T *own = of_hidden + i * b.hidden_step, *own_active = active + i * b.hidden_step;
            const T* before = store_.hidden + rows[i] * hidden;
            T* mask = b.mask.data();
            if (dropout_ == none) std::fill(mask, mask + hidden, T(1));
            else model_.mask(store_.mask_key[rows[i]], dropout_, mask);
            T *slope = b.slope.data(), *of_bias = sums.hidden_bias.data();
            for (int j = 0; j < hidden; ++j) {
                const T x = before[j], below = normal_cdf(x);
                slope[j] = below + x * exponential(T(-0.5) * x * x) * T(0.39894228040143267794);
                own_active[j] = x * below * mask[j];
            }
            for (int j = 0; j < hidden; ++j) {
                own[j] *= slope[j] * mask[j];
                of_bias[j] += own[j];
            }
        }
        product(of_hidden, b.hidden_step, count, model_.hidden_back, static_cast<const T*>(nullptr), b.below.data(), b.children_step);
        for (int i = 0; i < count; ++i) {
            const T *below = b.below.data() + i * b.children_step, *opened = store_.gates + rows[i] * 4 * dim;
            const T* mixed = at(rows[i]);  // open_gates stored the gradient before the normalization there
            T *left = at(store_.left[rows[i]]), *right = at(store_.right[rows[i]]);
            for (int j = 0; j < dim; ++j) left[j] += below[j] + mixed[j] * opened[j];
            for (int j = 0; j < dim; ++j) right[j] += below[dim + j] + mixed[j] * opened[dim + j];
        }
        b.rows += count;
        sums.nodes += count;
    }

    // The sums of a and of a * b.
    static void dots(const T* a, const T* b, int count, T& total, T& along) {
        constexpr int width = Simd<T>::width;
        Vector<T> totals{}, products{};
        T rest = 0, rest_along = 0;
        int j = 0;
        for (; j + width <= count; j += width) {
            totals += load(a + j);
            products += load(a + j) * load(b + j);
        }
        for (; j < count; ++j) {
            rest += a[j];
            rest_along += a[j] * b[j];
        }
        total = sum<T>(totals) + rest;
        along = sum<T>(products) + rest_along;
    }

    // From the gradient of a node's state to those of its gates; `above` becomes that of the mixed state.
    void open_gates(const T* opened, T* above, const T* children, T* of_gates, T* mixed, Sums& sums) {
        const int dim = model_.dim;
        Composer<T>::mix(children, opened, dim, mixed);
        T centre, spread;
        Composer<T>::moments(mixed, dim, model_.eps, centre, spread);
        T total, along;
        T *of_weight = sums.norm_weight.data(), *of_bias = sums.norm_bias.data();
        const T* weight = model_.norm_weight.data();
        for (int j = 0; j < dim; ++j) {
            mixed[j] = (mixed[j] - centre) * spread;
            of_weight[j] += above[j] * mixed[j];
            of_bias[j] += above[j];
            above[j] *= weight[j];
        }
        dots(above, mixed, dim, total, along);
        total /= T(dim);
        along /= T(dim);
        T* of_gates_bias = sums.gates_bias.data();
        const T *left = children, *right = children + dim, *a = opened, *b = opened + dim, *c = opened + 2 * dim, *z = opened + 3 * dim;
        for (int j = 0; j < dim; ++j) above[j] = (above[j] - total - mixed[j] * along) * spread;
        for (int j = 0; j < dim; ++j) of_gates[j] = above[j] * left[j] * a[j] * (T(1) - a[j]);
        for (int j = 0; j < dim; ++j) of_gates[dim + j] = above[j] * right[j] * b[j] * (T(1) - b[j]);
        for (int j = 0; j < dim; ++j) of_gates[2 * dim + j] = above[j] * z[j] * c[j] * (T(1) - c[j]);
        for (int j = 0; j < dim; ++j) of_gates[3 * dim + j] = above[j] * c[j];
        for (int j = 0; j < 4 * dim; ++j) of_gates_bias[j] += of_gates[j];
    }

    const Model<T>& model_;
    const Store<T>& store_;
    Draws dropout_;
    std::vector<History<T>*> histories_;
    T* gradient_;  // (capacity, D) of the states; rows are zeroed when they are first touched
    std::vector<std::uint8_t> touched_;
};

}  // namespace nestree
