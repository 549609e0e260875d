// The search: beam search over node numbers, group by group; the nodes of one step are composed together.
#pragma once

#include <limits>
#include <memory>

#include "model.hpp"
#include "threads.hpp"

namespace nestree {

// Composes nodes where the cell is not the library's: into consecutive rows, from these children and keys of dropout masks.
// Returns whether it failed.
using Compose = int (*)(std::int64_t count, std::int64_t first_row, const std::int64_t* left, const std::int64_t* right, const std::uint64_t* mask_keys);

// The groups of one level, passed by Python.
template <class T>
struct Level {
    std::int64_t groups, beams, items;  // G, and the widths of `frontier`
    std::int64_t beam_size, most_roots;
    const std::int64_t* frontier;  // (G, B, N) rows of the items
    const T* scores;               // (G, B) initial scores
    const std::int64_t *size, *roots;      // (G,) each
    const std::int64_t *part;              // (G,) the thread that folds it
    const std::int64_t *sequence, *group;  // (G,) its coordinates, for drawing
    const std::int64_t* base;              // (parts,) first new row of each thread
    std::int64_t level, seed, noise, dropout, parts;
    std::int64_t* nodes;  // (G, W, R) the result
    T* final_scores;      // (G, W), -inf where a group has fewer beams
    std::int64_t* used;   // (parts,) number of rows that each thread composed
    Compose compose;      // null where the cell is the library's
};

// One choice of one group, recorded for the gradient of the scores.
struct Choice {
    std::int32_t beams, pairs, kept;
    std::size_t logits, log_norm, picks;  // offsets into the part's lists
};

struct Pair {
    std::int32_t left, right;
};

// The record of a thread's groups of one level, for the backward pass.
template <class T>
struct Part {
    std::vector<Pair> pairs;
    std::vector<T> logits, log_norm;         // (B, P) and (B,) per choice
    std::vector<std::int32_t> numbers;       // (B, P) per choice: the pairs' indices in `pairs`
    std::vector<std::int32_t> beam, position;  // (W,) per choice
    std::vector<T> gradient;                 // of each pair's logit
};

template <class T>
struct History {
    std::vector<Part<T>> parts;
    std::vector<std::int64_t> part;               // of each group
    std::vector<std::vector<Choice>> choices;     // of each group, step by step
    std::vector<std::int64_t> base, used;         // of each part: its rows of the store
    std::int64_t beam_size = 0, first_beams = 0;
};

// The composed pairs of a group: a hash table with open addressing, at most half full.
class Composed {
   public:
    explicit Composed(long most) {
        long room = 4;
        while (room < 2 * most) room *= 2;
        keys_.assign(room, -1);
        rows_.resize(room);
    }

    // The row of a pair; or -1, with the place to insert it.
    std::int64_t* find(std::int64_t left, std::int64_t right) {
        const std::int64_t key = (left << 32) | right;
        const std::uint64_t room = keys_.size();
        std::uint64_t at = (static_cast<std::uint64_t>(key) * 0x9E3779B97F4A7C15ull) >> 32 & (room - 1);
        while (keys_[at] != -1 && keys_[at] != key) at = (at + 1) & (room - 1);
        if (keys_[at] == -1) {
            keys_[at] = key;
            rows_[at] = -1;
        }
        return &rows_[at];
    }

   private:
    std::vector<std::int64_t> keys_, rows_;
};

template <class T>
struct Candidate {
    T key, total;  // the ranking key, and the score that its beam would have
    std::int32_t beam, position;
};

// Inserts a candidate into a list of the `most` best; of equal ones the earlier stays first.
template <class T>
inline int rank(Candidate<T>* best, int count, int most, const Candidate<T>& candidate) {
    if (count == most && !(candidate.key > best[count - 1].key)) return count;
    int at = count < most ? count++ : count - 1;
    for (; at > 0 && candidate.key > best[at - 1].key; --at) best[at] = best[at - 1];
    best[at] = candidate;
    return count;
}

inline double gumbel_exact(std::uint64_t bits) { return -std::log(-std::log((double(bits >> 12) + 0.5) * 0x1p-52)); }
inline float gumbel_fast(std::uint64_t bits) { return -logarithm(-logarithm((float(static_cast<std::int32_t>(bits >> 41)) + 0.5f) * 0x1p-23f)); }

// The state of a group during the search.
template <class T>
struct Group {
    std::int64_t number, size, roots;
    int beams = 0, items = 0;
    Place place;
    Composed composed;
    std::vector<std::int64_t> frontier, next_frontier;  // (B, items)
    std::vector<T> logits, next_logits;                 // (B, items - 1)
    std::vector<std::int32_t> numbers, next_numbers;
    std::vector<T> scores;
    std::vector<Candidate<T>> chosen;
    std::vector<std::int64_t> nodes;  // the new node of each beam after this step

    Group(std::int64_t number, std::int64_t size, std::int64_t roots, long beam_size, Place place)
        : number(number), size(size), roots(roots), place(place), composed(beam_size * (size - roots)) {}

    std::int64_t merges() const { return size - roots; }
    // The last merge of a group that is folded to one root involves no choice.
    std::int64_t choices() const { return merges() - (roots == 1); }
};

template <class T>
class Search {
   public:
    Search(const Model<T>& model, const Store<T>& store, const Level<T>& level, History<T>* history)
        : model_(model), store_(store), level_(level), history_(history) {}

    void run(std::int64_t number) {
        part_ = history_ ? &history_->parts[number] : nullptr;
        next_row_ = level_.base[number];
        std::vector<std::unique_ptr<Group<T>>> groups;
        std::int64_t steps = 0;
        for (std::int64_t i = 0; i < level_.groups; ++i) {
            if (level_.part[i] != number) continue;
            groups.push_back(begin(i));
            steps = std::max(steps, groups.back()->merges());
        }
        Composer<T> composer(model_, store_, static_cast<Draws>(level_.dropout));
        std::vector<Job> jobs;
        for (std::int64_t step = 0; step < steps; ++step) {
            jobs.clear();
            for (auto& group : groups) {
                if (step >= group->merges()) continue;
                choose(*group, step);
                merge(*group, step, jobs);
            }
            if (!level_.compose) composer.compose(jobs);
            else if (!call(composer, jobs)) break;
            for (auto& group : groups)
                if (step < group->merges()) go_on(*group, step);
        }
        for (auto& group : groups) finish(*group);
        level_.used[number] = next_row_ - level_.base[number];
    }

   private:
    // Composes by the caller's cell; returns whether that worked.
    bool call(Composer<T>& composer, const std::vector<Job>& jobs) {
        if (jobs.empty()) return true;
        std::vector<std::int64_t> left, right;
        std::vector<std::uint64_t> mask_keys;
        for (const Job& job : jobs) {
            left.push_back(job.left);
            right.push_back(job.right);
            mask_keys.push_back(job.mask_key);
            store_.left[job.row] = job.left;
            store_.right[job.row] = job.right;
            store_.height[job.row] = std::max(store_.height[job.left], store_.height[job.right]) + 1;
        }
        const std::int64_t first = jobs.front().row, count = static_cast<std::int64_t>(jobs.size());
        if (level_.compose(count, first, left.data(), right.data(), mask_keys.data())) return false;
        composer.project(first, first + count);
        return true;
    }

    std::unique_ptr<Group<T>> begin(std::int64_t number) {
        const std::int64_t size = level_.size[number];
        const Place place{static_cast<std::uint64_t>(level_.seed), static_cast<std::uint64_t>(level_.sequence[number]),
                          static_cast<std::uint64_t>(level_.level), static_cast<std::uint64_t>(level_.group[number])};
        auto group = std::make_unique<Group<T>>(number, size, level_.roots[number], level_.beam_size, place);
        group->beams = static_cast<int>(level_.beams);
        group->items = static_cast<int>(size);
        group->scores.assign(level_.scores + number * level_.beams, level_.scores + (number + 1) * level_.beams);
        group->chosen.resize(level_.beam_size);
        group->nodes.resize(level_.beam_size);
        for (std::int64_t beam = 0; beam < level_.beams; ++beam) {
            const std::int64_t* items = level_.frontier + (number * level_.beams + beam) * level_.items;
            group->frontier.insert(group->frontier.end(), items, items + size);
        }
        if (group->choices() > 0) {
            for (int beam = 0; beam < group->beams; ++beam)
                for (std::int64_t i = 0; i + 1 < size; ++i) {
                    const std::int64_t* items = &group->frontier[beam * size + i];
                    group->logits.push_back(logit(items[0], items[1]));
                    group->numbers.push_back(note(items[0], items[1]));
                }
        }
        return group;
    }

    T logit(std::int64_t left, std::int64_t right) const {
        return model_.logit(store_.left_half + left * model_.width, store_.right_half + right * model_.width);
    }

    std::int32_t note(std::int64_t left, std::int64_t right) {
        if (!part_) return 0;
        part_->pairs.push_back({static_cast<std::int32_t>(left), static_cast<std::int32_t>(right)});
        return static_cast<std::int32_t>(part_->pairs.size()) - 1;
    }

    // Fills `chosen`: the beam, the pair and the score of every new beam.
    void choose(Group<T>& group, std::int64_t step) {
        if (step >= group.choices()) {  // every beam merges its only pair
            for (int beam = 0; beam < group.beams; ++beam) group.chosen[beam] = {T(0), group.scores[beam], beam, 0};
            return;
        }
        const int pairs = group.items - 1, most = static_cast<int>(level_.beam_size), each = std::min(most, pairs);
        log_norm_.resize(group.beams);
        picked_.resize(most);
        best_.resize(most);
        std::uint64_t of_pairs = 0, of_candidates = 0;
        if (level_.noise != none) {
            of_pairs = group.place.key(of_pair, step);
            of_candidates = group.place.key(of_candidate, step);
        }
        int kept = 0;
        for (int beam = 0; beam < group.beams; ++beam) {
            const T* logits = &group.logits[static_cast<long>(beam) * pairs];
            const T log_norm = log_norm_[beam] = log_sum_exp(logits, pairs);
            const std::uint64_t pair_key = mix_bits(of_pairs + beam), candidate_key = mix_bits(of_candidates + beam);
            int count = 0;
            terms_.resize(pairs);
            T* keys = terms_.data();
            if (level_.noise == none)
                for (int i = 0; i < pairs; ++i) keys[i] = logits[i] - log_norm;
            else if (level_.noise == fast)
                for (int i = 0; i < pairs; ++i) keys[i] = logits[i] + static_cast<T>(gumbel_fast(mix_bits(pair_key + i)));
            else
                for (int i = 0; i < pairs; ++i) keys[i] = logits[i] + gumbel(pair_key + i);
            for (int i = 0; i < pairs; ++i) count = rank(picked_.data(), count, each, {keys[i], T(0), beam, i});
            // Of equal totals the leftmost comes first. Its logit may be lower: rounding can make totals equal.
            std::sort(picked_.begin(), picked_.begin() + count, [](const auto& a, const auto& b) { return a.position < b.position; });
            for (int i = 0; i < count; ++i) {
                Candidate<T> candidate = picked_[i];
                candidate.total = logits[candidate.position] - log_norm + group.scores[beam];
                candidate.key = candidate.total;
                if (level_.noise != none) candidate.key += gumbel(candidate_key + candidate.position);
                kept = rank(best_.data(), kept, most, candidate);
            }
        }
        if (part_) record(group, pairs, kept);
        std::copy(best_.begin(), best_.begin() + kept, group.chosen.begin());
        group.beams = kept;
        group.scores.resize(kept);
        for (int beam = 0; beam < kept; ++beam) group.scores[beam] = best_[beam].total;
    }

    T gumbel(std::uint64_t key) const {
        const std::uint64_t bits = mix_bits(key);
        return level_.noise == exact ? static_cast<T>(gumbel_exact(bits)) : static_cast<T>(gumbel_fast(bits));
    }

    T log_sum_exp(const T* logits, int count) {
        T most = logits[0];
        for (int i = 1; i < count; ++i) most = logits[i] > most ? logits[i] : most;
        terms_.resize(count);
        for (int i = 0; i < count; ++i) terms_[i] = exponential(logits[i] - most);
        T total = 0;
        for (int i = 0; i < count; ++i) total += terms_[i];
        return most + std::log(total);
    }

    void record(const Group<T>& group, int pairs, int kept) {
        history_->choices[group.number].push_back(
            {group.beams, pairs, kept, part_->logits.size(), part_->log_norm.size(), part_->beam.size()});
        part_->logits.insert(part_->logits.end(), group.logits.begin(), group.logits.begin() + long(group.beams) * pairs);
        part_->numbers.insert(part_->numbers.end(), group.numbers.begin(), group.numbers.begin() + long(group.beams) * pairs);
        part_->log_norm.insert(part_->log_norm.end(), log_norm_.begin(), log_norm_.begin() + group.beams);
        for (int i = 0; i < kept; ++i) {
            part_->beam.push_back(best_[i].beam);
            part_->position.push_back(best_[i].position);
        }
    }

    // The node of every new beam: an existing row, or a new row to compose.
    void merge(Group<T>& group, std::int64_t step, std::vector<Job>& jobs) {
        std::uint64_t masks = 0;
        if (level_.dropout != none) masks = group.place.key(of_mask, step);
        for (int beam = 0; beam < group.beams; ++beam) {
            const Candidate<T>& chosen = group.chosen[beam];
            const std::int64_t* items = &group.frontier[long(chosen.beam) * group.items + chosen.position];
            std::int64_t* row = group.composed.find(items[0], items[1]);
            if (*row < 0) {
                *row = next_row_++;
                jobs.push_back({items[0], items[1], *row, mix_bits(masks + beam)});
            }
            group.nodes[beam] = *row;
        }
    }

    // Updates the frontiers, and scores the two pairs next to every new node.
    void go_on(Group<T>& group, std::int64_t step) {
        const int before = group.items, items = before - 1;
        group.next_frontier.resize(long(group.beams) * items);
        const bool scored = step + 1 < group.choices();
        if (scored) {
            group.next_logits.resize(long(group.beams) * (items - 1));
            group.next_numbers.resize(group.next_logits.size());
        }
        for (int beam = 0; beam < group.beams; ++beam) {
            const Candidate<T>& chosen = group.chosen[beam];
            const int at = chosen.position;
            std::int64_t* to = &group.next_frontier[long(beam) * items];
            carry(&group.frontier[long(chosen.beam) * before], before, at, to);
            to[at] = group.nodes[beam];
            if (!scored) continue;
            T* logits = &group.next_logits[long(beam) * (items - 1)];
            std::int32_t* numbers = &group.next_numbers[long(beam) * (items - 1)];
            carry(&group.logits[long(chosen.beam) * (before - 1)], before - 1, at, logits);
            carry(&group.numbers[long(chosen.beam) * (before - 1)], before - 1, at, numbers);
            for (int i = std::max(0, at - 1); i <= at && i < items - 1; ++i) {
                logits[i] = logit(to[i], to[i + 1]);
                numbers[i] = note(to[i], to[i + 1]);
            }
        }
        group.frontier.swap(group.next_frontier);
        group.logits.swap(group.next_logits);
        group.numbers.swap(group.next_numbers);
        group.items = items;
    }

    // Copies a row without column `at` + 1. In a frontier, column `at` is then overwritten by the new node; among the
    // pairs, of which `at` was merged, its neighbours are then rescored.
    template <class Number>
    static void carry(const Number* from, int count, int at, Number* to) {
        std::copy(from, from + std::min(at + 1, count - 1), to);
        if (at + 2 < count) std::copy(from + at + 2, from + count, to + at + 1);
    }

    void finish(const Group<T>& group) {
        const std::int64_t beams = level_.beam_size;
        std::int64_t* nodes = level_.nodes + group.number * beams * level_.most_roots;
        T* scores = level_.final_scores + group.number * beams;
        for (int beam = 0; beam < group.beams; ++beam) {
            scores[beam] = group.scores[beam];
            std::copy(&group.frontier[long(beam) * group.items], &group.frontier[long(beam) * group.items] + group.items,
                      nodes + beam * level_.most_roots);
        }
    }

    const Model<T>& model_;
    const Store<T>& store_;
    const Level<T>& level_;
    History<T>* history_;
    Part<T>* part_ = nullptr;
    std::int64_t next_row_ = 0;
    std::vector<T> log_norm_, terms_;
    std::vector<Candidate<T>> picked_, best_;
};

template <class T>
History<T>* search(const Model<T>& model, const Store<T>& store, const Level<T>& level, bool record) {
    std::unique_ptr<History<T>> history;
    if (record) {
        history = std::make_unique<History<T>>();
        history->parts.resize(level.parts);
        history->part.assign(level.part, level.part + level.groups);
        history->choices.resize(level.groups);
        history->base.assign(level.base, level.base + level.parts);
        history->beam_size = level.beam_size;
        history->first_beams = level.beams;
    }
    on_threads(level.parts, [&](std::int64_t number) { Search<T>(model, store, level, history.get()).run(number); });
    if (record) history->used.assign(level.used, level.used + level.parts);
    return history.release();
}

}  // namespace nestree
