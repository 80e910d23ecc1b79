// Fibers, and the kernels compiled for them: see emulator.h.
#include <setjmp.h>
#include <ucontext.h>

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

struct Fiber {
    jmp_buf state;
    ucontext_t start;
    std::vector<char> stack;
    Index index;
    // What it waits for, and how often that had opened when it came; none while it can run.
    Barrier *waits_for;
    uint32_t seen;
    bool started, done;
};

std::vector<Fiber> fibers;
std::vector<Warp> warps;
Barrier everyone;
Fiber *current;
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

void first_steps() {
    body(body_context);
    current->done = true;
    Barrier &own = warps[place(current->index) / 32].barrier;
    for (Barrier *barrier : {&own, &everyone}) barrier->alive--, barrier->open_if_all_came();
    _longjmp(scheduler, 1);
}

void resume(Fiber &fiber) {
    current = &fiber;
    threadIdx = fiber.index;
    fiber.waits_for = nullptr;
    if (_setjmp(scheduler)) return;
    if (fiber.started) _longjmp(fiber.state, 1);
    fiber.started = true;
    setcontext(&fiber.start);
}

bool can_run(const Fiber &fiber) {
    return !fiber.done && (!fiber.waits_for || fiber.waits_for->opened != fiber.seen);
}

void prepare(uint32_t threads) {
    if (fibers.size() < threads) fibers.resize(threads);
    warps.assign((threads + 31) / 32, Warp());
    everyone = {threads, 0, 0};
    for (uint32_t i = 0; i < threads; i++) {
        Fiber &fiber = fibers[i];
        fiber.stack.resize(STACK_BYTES);
        getcontext(&fiber.start);
        fiber.start.uc_stack.ss_sp = fiber.stack.data();
        fiber.start.uc_stack.ss_size = fiber.stack.size();
        fiber.start.uc_link = nullptr;
        makecontext(&fiber.start, first_steps, 0);
        fiber.index = {i % blockDim.x, i / blockDim.x % blockDim.y, i / blockDim.x / blockDim.y};
        fiber.waits_for = nullptr;
        fiber.started = fiber.done = false;
        warps[i / 32].barrier.alive++;
    }
}

bool run_block(uint32_t threads, bool falling) {
    prepare(threads);
    for (bool moved = true; moved;) {
        moved = false;
        for (uint32_t i = 0; i < threads; i++) {
            Fiber &fiber = fibers[falling ? threads - 1 - i : i];
            if (can_run(fiber)) resume(fiber), moved = true;
        }
    }
    return everyone.alive == 0;
}

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

bool run_threads(const Launch *launch, void (*thread)(void *), void *context) {
    gridDim = launch->grid, blockDim = launch->block;
    body = thread, body_context = context;
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
