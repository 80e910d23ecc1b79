//! A thread that looks at something every so often, until it is told to stop.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use super::processor;

/// Something that is looked at by a thread of its own, and by hand in between.
pub struct Poller<T> {
    shared: Arc<Shared<T>>,
    thread: Option<JoinHandle<Option<f64>>>,
}

struct Shared<T> {
    state: Mutex<State<T>>,
    wake: Condvar,
}

struct State<T> {
    value: T,
    ended: bool,
}

impl<T: Send + 'static> Poller<T> {
    /// Nothing looks yet.
    pub fn new(value: T) -> Self {
        let state = Mutex::new(State {
            value,
            ended: false,
        });
        let wake = Condvar::new();
        Self {
            shared: Arc::new(Shared { state, wake }),
            thread: None,
        }
    }

    /// Looks `every` so often from now on. Where the system gives no thread only the looks by hand are left.
    pub fn start(&mut self, name: &str, every: Duration, look: impl Fn(&mut T) + Send + 'static) {
        let shared = self.shared.clone();
        self.thread = Builder::new()
            .name(name.to_owned())
            .spawn(move || shared.poll(every, look))
            .ok();
    }
}

impl<T> Poller<T> {
    /// Does something with it while the thread waits.
    pub fn with<R>(&self, act: impl FnOnce(&mut T) -> R) -> R {
        act(&mut self.shared.lock().value)
    }

    /// Ends the thread; the processor seconds that it took, where there was one and the system tells.
    pub fn stop(&mut self) -> Option<f64> {
        self.signal();
        self.thread.take()?.join().ok()?
    }

    fn signal(&self) {
        self.shared.lock().ended = true;
        self.shared.wake.notify_all();
    }
}

impl<T> Drop for Poller<T> {
    fn drop(&mut self) {
        self.signal();
    }
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // A look that panicked has spoilt its own figures at most.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn poll(&self, every: Duration, look: impl Fn(&mut T)) -> Option<f64> {
        let mut state = self.lock();
        while !state.ended {
            let (next, waited) = self
                .wake
                .wait_timeout(state, every)
                .unwrap_or_else(PoisonError::into_inner);
            state = next;
            if waited.timed_out() && !state.ended {
                look(&mut state.value);
            }
        }
        processor::thread_s()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_looks_by_itself_until_it_is_stopped() {
        let mut poller = Poller::new(0_u64);
        poller.start("test", Duration::from_millis(1), |looks| *looks += 1);
        while poller.with(|looks| *looks) < 3 {
            std::thread::yield_now();
        }
        poller.stop();
        let looks = poller.with(|looks| *looks);
        std::thread::sleep(Duration::from_millis(5));
        assert_eq!(poller.with(|looks| *looks), looks);
    }
}
