//! The loops of linear attention over rows of a chunk.

use super::super::cpu::simd::{dot, simd};
use super::axes::Features;
use super::pairs::factor;

/// Below the root of a length.
const EPS: f64 = 1e-6;

/// Numbers below this are nothing in a state: it sinks towards numbers that a product takes a hundred times as long for.
const NOTHING: f64 = 1e-30;

simd! {
    /// Queries or keys, `stride` apart, with their features, times `scale`.
    pub(super) fn with_features<S, F>(
        x: &[F],
        stride: usize,
        features: Features,
        scale: F,
        width: usize,
        y: &mut [F],
    ) {
        for (y, x) in y.chunks_exact_mut(width).zip(x.chunks(stride)) {
            let x = &x[..width];
            match features {
                Features::Plain => {
                    for (y, &x) in y.iter_mut().zip(x) {
                        *y = scale * x;
                    }
                }
                Features::Unit => {
                    let r = scale / (dot::<S, F>(x, x) + F::of(EPS)).sqrt();
                    for (y, &x) in y.iter_mut().zip(x) {
                        *y = r * x;
                    }
                }
                Features::Elu => {
                    for (y, &x) in y.iter_mut().zip(x) {
                        let below = x.exp::<S>();
                        *y = scale * if x > F::ZERO { x + F::ONE } else { below };
                    }
                }
            }
        }
    }
}

simd! {
    /// The gradient of one query or key from that of its features, added to.
    pub(super) fn features_back<S, F>(
        x: &[F],
        features: Features,
        scale: F,
        g: &[F],
        d: &mut [F],
    ) {
        match features {
            Features::Plain => {
                for (d, &g) in d.iter_mut().zip(g) {
                    *d += scale * g;
                }
            }
            Features::Unit => {
                let squares = dot::<S, F>(x, x) + F::of(EPS);
                let r = scale / squares.sqrt();
                let along = dot::<S, F>(x, g) / squares;
                for ((d, &x), &g) in d.iter_mut().zip(x).zip(g) {
                    *d += r * (g - x * along);
                }
            }
            Features::Elu => {
                for ((d, &x), &g) in d.iter_mut().zip(x).zip(g) {
                    let below = x.exp::<S>();
                    *d += scale * g * if x > F::ZERO { F::ONE } else { below };
                }
            }
        }
    }
}

simd! {
    /// Sums of logarithms, rows `stride` apart, and e to their power, from the chunk's begin and to its end.
    pub(super) fn decays<S, F>(
        x: &[F],
        stride: usize,
        width: usize,
        sums: &mut [F],
        since: &mut [F],
        until: &mut [F],
    ) {
        let n = sums.len() / width;
        for i in 0..n {
            for d in 0..width {
                let before = if i == 0 { F::ZERO } else { sums[(i - 1) * width + d] };
                sums[i * width + d] = before + x[i * stride + d];
            }
        }
        let last = &sums[(n - 1) * width..];
        for (s, &sum) in since.iter_mut().zip(&*sums) {
            *s = factor::<S, F>(sum);
        }
        for (until, sums) in until.chunks_exact_mut(width).zip(sums.chunks_exact(width)) {
            for ((until, &sum), &last) in until.iter_mut().zip(sums).zip(last) {
                *until = factor::<S, F>(last - sum);
            }
        }
    }
}

simd! {
    /// e to the power of as many numbers as there is room for.
    pub(super) fn exponentials<S, F>(x: &[F], y: &mut [F]) {
        for (y, &x) in y.iter_mut().zip(x) {
            *y = factor::<S, F>(x);
        }
    }
}

simd! {
    /// `y = x f`, f one number a row or as many as x has, or nothing.
    pub(super) fn times<S, F>(x: &[F], f: &[F], width: usize, y: &mut [F]) {
        if f.is_empty() {
            y.copy_from_slice(x);
        } else if f.len() == x.len() {
            for ((y, &x), &f) in y.iter_mut().zip(x).zip(f) {
                *y = x * f;
            }
        } else {
            for ((y, x), &f) in y.chunks_exact_mut(width).zip(x.chunks_exact(width)).zip(f) {
                for (y, &x) in y.iter_mut().zip(x) {
                    *y = x * f;
                }
            }
        }
    }
}

simd! {
    /// `y += x f` of the same kind.
    pub(super) fn add_times<S, F>(x: &[F], f: &[F], width: usize, y: &mut [F]) {
        if f.is_empty() {
            for (y, &x) in y.iter_mut().zip(x) {
                *y += x;
            }
        } else if f.len() == x.len() {
            for ((y, &x), &f) in y.iter_mut().zip(x).zip(f) {
                *y = x.fma::<S>(f, *y);
            }
        } else {
            for ((y, x), &f) in y.chunks_exact_mut(width).zip(x.chunks_exact(width)).zip(f) {
                for (y, &x) in y.iter_mut().zip(x) {
                    *y = x.fma::<S>(f, *y);
                }
            }
        }
    }
}

simd! {
    /// A state's rows times their factors, one for all or one for each; what is next to nothing becomes nothing.
    pub(super) fn fade<S, F>(state: &mut [F], factors: &[F], width: usize) {
        let step = if factors.len() == 1 { 0 } else { 1 };
        for (d, row) in state.chunks_exact_mut(width).enumerate() {
            let f = if factors.is_empty() { F::ONE } else { factors[d * step] };
            for s in row {
                let faded = *s * f;
                let size = if faded < F::ZERO { -faded } else { faded };
                *s = if size < F::of(NOTHING) { F::ZERO } else { faded };
            }
        }
    }
}

simd! {
    /// Rows times a factor each, the former `stride` apart.
    pub(super) fn weigh<S, F>(x: &[F], stride: usize, by: &[F], width: usize, y: &mut [F]) {
        for ((y, x), &by) in y.chunks_exact_mut(width).zip(x.chunks(stride)).zip(by) {
            for (y, &x) in y.iter_mut().zip(&x[..width]) {
                *y = by * x;
            }
        }
    }
}

simd! {
    /// Errors of tokens `from` up to `to`, which hold what earlier blocks left of them, and what these write.
    pub(super) fn errors<S, F>(
        a: &[F],
        range: (usize, usize),
        beta: &[F],
        width: usize,
        e: &mut [F],
        u: &mut [F],
    ) {
        let (n, (from, to)) = (beta.len(), range);
        for (i, &beta) in beta.iter().enumerate().take(to).skip(from) {
            let own = &mut e[i * width..(i + 1) * width];
            for j in from..i {
                let a = -a[i * n + j];
                for (e, &u) in own.iter_mut().zip(&u[j * width..(j + 1) * width]) {
                    *e = a.fma::<S>(u, *e);
                }
            }
            for (u, &e) in u[i * width..(i + 1) * width].iter_mut().zip(&*own) {
                *u = beta * e;
            }
        }
    }
}

simd! {
    /// The same backwards: gradients of what is written become those of errors.
    pub(super) fn errors_back<S, F>(
        a: &[F],
        range: (usize, usize),
        beta: &[F],
        width: usize,
        e: &[F],
        du: &mut [F],
        dbeta: &mut [F],
    ) {
        let (n, (from, to)) = (beta.len(), range);
        for i in (from..to).rev() {
            let (earlier, own) = du.split_at_mut(i * width);
            let own = &mut own[..width];
            dbeta[i] = dot::<S, F>(own, &e[i * width..(i + 1) * width]);
            for d in own.iter_mut() {
                *d *= beta[i];
            }
            for j in from..i {
                let a = -a[i * n + j];
                for (d, &own) in earlier[j * width..(j + 1) * width].iter_mut().zip(&*own) {
                    *d = a.fma::<S>(own, *d);
                }
            }
        }
    }
}

simd! {
    /// `out += sign x y`, number by number where there is one of each, else summed over each row.
    pub(super) fn gather<S, F>(x: &[F], y: &[F], sign: F, width: usize, out: &mut [F]) {
        if out.len() == x.len() {
            for ((out, &x), &y) in out.iter_mut().zip(x).zip(y) {
                *out = (sign * x).fma::<S>(y, *out);
            }
        } else {
            let rows = x.chunks_exact(width).zip(y.chunks_exact(width));
            for (out, (x, y)) in out.iter_mut().zip(rows) {
                *out += sign * dot::<S, F>(x, y);
            }
        }
    }
}
