// Fibers, and the kernels compiled for them: see emulator.h.
#include <setjmp.h>
#include <ucontext.h>

#include <deque>
#include <vector>

#include "emulator.h"

Index gridDim, blockDim, blockIdx, threadIdx;
unsigned char *dynamic_shared;

namespace {

const size_t STACK_BYTES = 128 * 1024;

// Where threads wait until as many as are alive have come.
struct Barrier {
    uint32_t alive, arrived, opened;

    void open_if_all_came() {
        if (arrived == alive) arrived = 0, opened++;
    }
};

struct Warp {
    Barrier barrier;
    char lanes[32 * LANE_BYTES];
};

struct Copy {
    void *to;
    const void *from;
    uint32_t group;
};

struct Fiber {
    jmp_buf state;
    ucontext_t start;
    std::vector<char> stack;
    Index index;
    // What it waits for, and how often that had opened when it came; none while it can run.
    Barrier *waits_for;
    uint32_t seen;
    bool started, done;
    // Copies on their way, the oldest first, and how many groups of them were closed.
    std::deque<Copy> copies;
    uint32_t groups;
};

// None of them ever moves: their stacks are in use.
std::deque<Fiber> fibers;
std::vector<Warp> warps;
Barrier everyone;
Fiber *current;
// Whether copies arrive as soon as they are asked for.
bool at_once;
jmp_buf scheduler;
void (*body)(void *);
void *body_context;

uint32_t place(const Index &i) { return (i.z * blockDim.y + i.y) * blockDim.x + i.x; }

void back_to_scheduler() {
    if (!_setjmp(current->state)) _longjmp(scheduler, 1);
}

void wait_at(Barrier &barrier) {
    current->waits_for = &barrier;
    current->seen = barrier.opened;
    barrier.arrived++;
    barrier.open_if_all_came();
    back_to_scheduler();
}

// A fiber outlives its thread: it is the same place in the next block.
void threads_of_fiber() {
    for (;;) {
        body(body_context);
        current->done = true;
        Barrier &own = warps[place(current->index) / 32].barrier;
        for (Barrier *barrier : {&own, &everyone}) barrier->alive--, barrier->open_if_all_came();
        back_to_scheduler();
    }
}

void resume(Fiber &fiber) {
    current = &fiber;
    threadIdx = fiber.index;
    fiber.waits_for = nullptr;
    if (_setjmp(scheduler)) return;
    if (fiber.started) _longjmp(fiber.state, 1);
    fiber.started = true;
    getcontext(&fiber.start);
    fiber.start.uc_stack.ss_sp = fiber.stack.data();
    fiber.start.uc_stack.ss_size = fiber.stack.size();
    fiber.start.uc_link = nullptr;
    makecontext(&fiber.start, threads_of_fiber, 0);
    setcontext(&fiber.start);
}

bool can_run(const Fiber &fiber) {
    return !fiber.done && (!fiber.waits_for || fiber.waits_for->opened != fiber.seen);
}

void prepare(uint32_t threads) {
    warps.resize((threads + 31) / 32);
    for (Warp &warp : warps) warp.barrier = {0, 0, 0};
    everyone = {threads, 0, 0};
    for (uint32_t i = 0; i < threads; i++) {
        if (fibers.size() == i) {
            fibers.emplace_back();
            fibers[i].stack.resize(STACK_BYTES);
        }
        Fiber &fiber = fibers[i];
        fiber.index = {i % blockDim.x, i / blockDim.x % blockDim.y, i / blockDim.x / blockDim.y};
        fiber.waits_for = nullptr;
        fiber.done = false;
        fiber.copies.clear();
        fiber.groups = 0;
        warps[i / 32].barrier.alive++;
    }
}

// Runs a warp as far as it gets without the others: whether it got anywhere.
bool run_warp(uint32_t first, uint32_t last, bool falling) {
    bool ever = false;
    for (bool moved = true; moved; ever |= moved) {
        moved = false;
        for (uint32_t i = first; i < last; i++) {
            Fiber &fiber = fibers[falling ? last - 1 - (i - first) : i];
            if (can_run(fiber)) resume(fiber), moved = true;
        }
    }
    return ever;
}

bool run_block(uint32_t threads, bool falling) {
    prepare(threads);
    for (bool moved = true; moved;) {
        moved = false;
        for (uint32_t i = 0; i < warps.size(); i++) {
            uint32_t first = (falling ? warps.size() - 1 - i : i) * 32;
            moved |= run_warp(first, first + 32 < threads ? first + 32 : threads, falling);
        }
    }
    return everyone.alive == 0;
}

void arrive(const Copy &copy) { copy.from ? memcpy(copy.to, copy.from, 16) : memset(copy.to, 0, 16); }

}  // namespace

void __syncthreads() { wait_at(everyone); }

void __syncwarp() { wait_at(warps[place(threadIdx) / 32].barrier); }

const void *exchange(const void *mine, size_t bytes) {
    Warp &warp = warps[place(threadIdx) / 32];
    // Once all have come nobody reads any more what was given before; once all have given, all may read.
    wait_at(warp.barrier);
    memcpy(warp.lanes + lane_id() * LANE_BYTES, mine, bytes);
    wait_at(warp.barrier);
    return warp.lanes;
}

void copy_async(void *to, const void *from, bool real) {
    Copy copy = {to, real ? from : nullptr, current->groups};
    at_once ? arrive(copy) : current->copies.push_back(copy);
}

void commit_copies() { current->groups++; }

void wait_for_copies(uint32_t but) {
    while (!current->copies.empty() && current->copies.front().group + but < current->groups) {
        arrive(current->copies.front());
        current->copies.pop_front();
    }
}

bool run_threads(const Launch *launch, void (*thread)(void *), void *context) {
    gridDim = launch->grid, blockDim = launch->block;
    body = thread, body_context = context, at_once = launch->falling;
    std::vector<uint64_t> shared(launch->shared_bytes / 8 + 1);
    dynamic_shared = (unsigned char *)shared.data();
    uint32_t threads = blockDim.x * blockDim.y * blockDim.z;
    for (uint32_t z = 0; z < gridDim.z; z++) {
        for (uint32_t y = 0; y < gridDim.y; y++) {
            for (uint32_t x = 0; x < gridDim.x; x++) {
                blockIdx = {x, y, z};
                // What a block finds in shared memory is anything: here, numbers that are none.
                memset(shared.data(), 0xff, shared.size() * 8);
                if (!run_block(threads, launch->falling)) return false;
            }
        }
    }
    return true;
}
