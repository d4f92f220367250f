/* How the system's allocator keeps memory that was given back: set once, before main.
 *
 * By default glibc learns from what it sees. When a piece of several megabytes is given back, such
 * as a pack, pieces of up to that size come from the heap of the thread that asks from then on, and
 * each of these heaps, up to eight for each processor, keeps up to twice as much at its end for
 * later. A backup of 900,000 small files had 90 MiB in use and held 172 MiB in the end. With fixed
 * thresholds, which glibc does not change, large pieces go back to the kernel at once: 114 MiB.
 * Safe Rust has no way to say so, and the variables that do are read before main begins.
 */
#include <stdlib.h>

#ifdef __GLIBC__
#include <malloc.h>

/* In bytes. Larger pieces are mapped by themselves, and a heap whose end is free by more shrinks. */
#define LARGE (1 << 20)

/* Few heaps, which threads share: what one takes and another gives back is used again. */
#define HEAPS 4

__attribute__((constructor)) static void keep_little(void)
{
    /* What an administrator says goes first. */
    if (!getenv("GLIBC_TUNABLES")) {
        mallopt(M_MMAP_THRESHOLD, LARGE);
        mallopt(M_TRIM_THRESHOLD, LARGE);
        mallopt(M_ARENA_MAX, HEAPS);
    }
}
#endif
