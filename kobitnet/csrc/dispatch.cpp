// Which kernels this CPU runs, best first, and which are in use.
#include "kernels.h"
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <vector>

#if defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif
#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace kobitnet {
namespace {

#if defined(__x86_64__) && defined(KOBITNET_HAS_AVXVNNI)
bool has_avxvnni() {                                                 // CPUID 7.1 EAX bit 4 (not known to older compilers)
    unsigned a = 0, b = 0, c = 0, d = 0;
    return __builtin_cpu_supports("avx2") && __get_cpuid_count(7, 1, &a, &b, &c, &d) && ((a >> 4) & 1);
}
#endif

std::vector<const Kernels*> find() {
    std::vector<const Kernels*> found;
#if defined(__x86_64__)
    __builtin_cpu_init();
    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
                        __builtin_cpu_supports("avx512vnni");
    if (avx512) found.push_back(kernels_avx512());
    if (avx512) found.push_back(kernels_vnni256());
#ifdef KOBITNET_HAS_AVXVNNI
    if (avx2 && has_avxvnni()) found.push_back(kernels_avxvnni());
#endif
    if (avx2) found.push_back(kernels_avx2());
#elif defined(__aarch64__)
#if defined(__linux__)
    if (getauxval(AT_HWCAP) & (1ul << 20)) found.push_back(kernels_neon());    // HWCAP_ASIMDDP
#else
    found.push_back(kernels_neon());                                 // every Apple arm64 machine has dot product
#endif
#endif
    found.push_back(kernels_plain());
    return found;
}

const std::vector<const Kernels*>& all() {
    static const std::vector<const Kernels*> list = find();
    return list;
}

const Kernels* by_name(const char* name) {
    for (const Kernels* k : all()) if (std::strcmp(k->name, name) == 0) return k;
    return nullptr;
}

std::atomic<const Kernels*>& current() {
    static std::atomic<const Kernels*> chosen{[] {
        const char* wanted = std::getenv("KOBITNET_ISA");
        const Kernels* k = wanted && *wanted ? by_name(wanted) : nullptr;   // an unknown name is reported by Python
        return k ? k : all().front();
    }()};
    return chosen;
}

}  // namespace

int isa_count() { return (int)all().size(); }
const char* isa_name(int i) { return all()[(size_t)i]->name; }
const Kernels& kernels() { return *current().load(std::memory_order_relaxed); }
bool choose_isa(const char* name) {
    const Kernels* k = by_name(name);
    if (k) current().store(k);
    return k != nullptr;
}

}  // namespace kobitnet
