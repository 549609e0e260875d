// Work on several threads: those of PyTorch's pool, where it uses OpenMP.
#pragma once

#include <cstdint>
#include <thread>
#include <vector>

namespace nestree {

template <class Work>
void on_threads(std::int64_t count, Work work) {
#ifdef _OPENMP
#pragma omp parallel for num_threads(count) schedule(static, 1)
    for (std::int64_t i = 0; i < count; ++i) work(i);
#else
    std::vector<std::thread> others;
    for (std::int64_t i = 1; i < count; ++i) others.emplace_back([&work, i] { work(i); });
    work(0);
    for (auto& other : others) other.join();
#endif
}

}  // namespace nestree
