// A small pool of threads that wait passively: a short spin between the steps of one token, then sleep.
#pragma once
#include <cstdint>
#include <functional>

namespace kobitnet {

using Range = std::function<void(int64_t begin, int64_t end)>;

int thread_count();
void set_thread_count(int n);                                        // 1 .. 1024, counts the calling thread
// Calls body on disjoint ranges that cover 0..n, each at most grain long; thread k begins with the k-th part of them. The
// result must not depend on which thread takes which range. Calls from several threads are served one after another.
void parallel_for(int64_t n, int64_t grain, const Range& body);

}  // namespace kobitnet
