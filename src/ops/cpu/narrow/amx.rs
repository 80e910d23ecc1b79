//! Intel's tile unit (AMX), in assembly: the intrinsics are not stable in Rust 1.95.

use super::tiles::{Block, SIDE, Start, Tile};
use std::arch::asm;

/// What `ldtilecfg` reads: palette 1, and of each of eight tiles 64 bytes a row, 16 rows.
#[repr(C, align(64))]
struct Shapes([u8; 64]);

static SHAPES: Shapes = {
    let mut bytes = [0; 64];
    bytes[0] = 1;
    let mut tile = 0;
    while tile < 8 {
        bytes[16 + 2 * tile] = 64;
        bytes[48 + tile] = SIDE as u8;
        tile += 1;
    }
    Shapes(bytes)
};

/// Asks the system for the unit, for this process; says why not, where it does not give it.
#[cfg(target_os = "linux")]
pub fn ask() -> Result<(), String> {
    use std::arch::x86_64::__cpuid_count;
    const HAS_BF16: u32 = 1 << 22;
    const HAS_TILES: u32 = 1 << 24;
    /// arch_prctl's request for a part of a process's state, and the part that holds tiles (Linux, Documentation/arch/x86/xstate.rst).
    const REQUEST: libc::c_long = 0x1023;
    const TILE_DATA: libc::c_long = 18;
    let has = __cpuid_count(7, 0).edx;
    if has & HAS_BF16 == 0 || has & HAS_TILES == 0 {
        return Err("this processor has no tile unit (AMX)".into());
    }
    // SAFETY: the call reads no memory of this process; what it changes is that the process may use tiles.
    match unsafe { libc::syscall(libc::SYS_arch_prctl, REQUEST, TILE_DATA) } {
        0 => Ok(()),
        _ => {
            let error = std::io::Error::last_os_error();
            Err(format!(
                "the system does not give the tile unit (AMX): {error}"
            ))
        }
    }
}

/// Only Linux is asked.
#[cfg(not(target_os = "linux"))]
pub fn ask() -> Result<(), String> {
    Err("the tile unit (AMX) is used on Linux alone".into())
}

/// Makes this thread's tiles ready.
///
/// # Safety
/// [`ask`] said yes.
pub unsafe fn open() {
    // SAFETY: the 64 bytes are read, and the unit is there. Nothing else of this program uses tiles.
    unsafe {
        asm!("ldtilecfg [{}]", in(reg) SHAPES.0.as_ptr(), options(nostack, preserves_flags, readonly));
    }
}

/// Gives this thread's tiles back: a thread without them is switched faster.
///
/// # Safety
/// [`ask`] said yes.
pub unsafe fn close() {
    // SAFETY: the unit is there.
    unsafe { asm!("tilerelease", options(nostack, preserves_flags, nomem)) }
}

/// A block's sums over all chunks of a left and a right panel: four tiles of sums, two of each factor at a time.
///
/// # Safety
/// Between [`open`] and [`close`] on this thread; the panels are of equally many chunks, one at least, and the block's 32 rows of 32
/// numbers can be read and written.
pub unsafe fn block(left: &[Tile], right: &[Tile], start: Start<'_>, out: Block) {
    let stride = out.stride * size_of::<f32>();
    let below = out.start.wrapping_add(SIDE * out.stride);
    // SAFETY: loads are of the block, and of tiles within the panels, of which `chunks` counts; stores are to the block. Tile registers
    // are used nowhere else between these statements, and no compiler keeps anything in them.
    unsafe {
        match start {
            // A stride of 0 reads the same row 16 times.
            Start::Row(first) => asm!(
                "tileloadd tmm0, [{row} + {stride}*1]",
                "tileloadd tmm1, [{row} + {stride}*1 + 64]",
                "tileloadd tmm2, [{row} + {stride}*1]",
                "tileloadd tmm3, [{row} + {stride}*1 + 64]",
                row = in(reg) first.as_ptr(),
                stride = in(reg) 0usize,
                options(nostack, preserves_flags, readonly)
            ),
            Start::Zero => asm!(
                "tilezero tmm0",
                "tilezero tmm1",
                "tilezero tmm2",
                "tilezero tmm3",
                options(nostack, preserves_flags, nomem)
            ),
            Start::There => asm!(
                "tileloadd tmm0, [{top} + {stride}*1]",
                "tileloadd tmm1, [{top} + {stride}*1 + 64]",
                "tileloadd tmm2, [{below} + {stride}*1]",
                "tileloadd tmm3, [{below} + {stride}*1 + 64]",
                top = in(reg) out.start,
                below = in(reg) below,
                stride = in(reg) stride,
                options(nostack, preserves_flags, readonly)
            ),
        }
        asm!(
            "2:",
            "tileloadd tmm4, [{left} + {row}*1]",
            "tileloadd tmm6, [{right} + {row}*1]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tileloadd tmm7, [{right} + {row}*1 + 1024]",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "tileloadd tmm5, [{left} + {row}*1 + 1024]",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "tdpbf16ps tmm3, tmm5, tmm7",
            "add {left}, 2048",
            "add {right}, 2048",
            "dec {chunks}",
            "jnz 2b",
            left = inout(reg) left.as_ptr() => _,
            right = inout(reg) right.as_ptr() => _,
            chunks = inout(reg) left.len() / 2 => _,
            row = in(reg) 64usize,
            options(nostack, readonly)
        );
        asm!(
            "tilestored [{top} + {stride}*1], tmm0",
            "tilestored [{top} + {stride}*1 + 64], tmm1",
            "tilestored [{below} + {stride}*1], tmm2",
            "tilestored [{below} + {stride}*1 + 64], tmm3",
            top = in(reg) out.start,
            below = in(reg) below,
            stride = in(reg) stride,
            options(nostack, preserves_flags)
        );
    }
}
