//! The task threads: as many as the executor has cores, made once.
//!
//! Jobs of later stages go first, for they free memory. A job that panics fails its batch by what it leaves undone
//! (its guard), never the thread.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::thread::JoinHandle;

use parking_lot::{Condvar, Mutex};

/// Work for a task thread.
pub type Job = Box<dyn FnOnce() + Send>;

/// Which jobs go first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// Reads input.
    Source,
    /// Opens or finishes a shard.
    Shard,
}

/// A handle on the threads. They end with the last one, after the jobs they have begun.
pub struct Pool {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    shards: VecDeque<Job>,
    sources: VecDeque<Job>,
    running: usize,
    closed: bool,
}

impl Pool {
    /// Starts `threads` threads.
    pub fn start(threads: usize) -> std::io::Result<Self> {
        let shared = Arc::new(Shared { queue: Mutex::default(), changed: Condvar::new() });
        let mut pool = Self { shared, threads: Vec::new() };
        for number in 0..threads.max(1) {
            let shared = pool.shared.clone();
            let thread = std::thread::Builder::new().name(format!("task-{number}"));
            pool.threads.push(thread.spawn(move || shared.work())?);
        }
        Ok(pool)
    }

    /// Puts a job into the queue.
    pub fn submit(&self, priority: Priority, job: Job) {
        let mut queue = self.shared.queue.lock();
        match priority {
            Priority::Source => queue.sources.push_back(job),
            Priority::Shard => queue.shards.push_back(job),
        }
        drop(queue);
        self.shared.changed.notify_one();
    }

    /// Jobs that run now.
    pub fn running(&self) -> usize {
        self.shared.queue.lock().running
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let mut queue = self.shared.queue.lock();
        queue.closed = true;
        queue.shards.clear();
        queue.sources.clear();
        drop(queue);
        self.shared.changed.notify_all();
        let me = std::thread::current().id();
        // The last handle may be dropped by a job, on one of these threads.
        for thread in self.threads.drain(..).filter(|thread| thread.thread().id() != me) {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn work(&self) {
        while let Some(job) = self.next() {
            if let Err(panic) = std::panic::catch_unwind(AssertUnwindSafe(job)) {
                tracing::error!(message = pyrite_common::lifecycle::panic_text(panic.as_ref()), "task panicked");
            }
            self.queue.lock().running -= 1;
        }
    }

    fn next(&self) -> Option<Job> {
        let mut queue = self.queue.lock();
        loop {
            if queue.closed {
                return None;
            }
            if let Some(job) = queue.shards.pop_front().or_else(|| queue.sources.pop_front()) {
                queue.running += 1;
                return Some(job);
            }
            self.changed.wait(&mut queue);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn shard_jobs_go_first_and_panics_end_nothing() {
        let pool = Pool::start(1).expect("a thread");
        let (go, gate) = channel::<()>();
        let (done, order) = channel();
        pool.submit(Priority::Source, Box::new(move || gate.recv().expect("the gate opens")));
        for (priority, name) in [(Priority::Source, "source"), (Priority::Shard, "shard")] {
            let done = done.clone();
            pool.submit(priority, Box::new(move || done.send(name).expect("the test waits")));
        }
        pool.submit(Priority::Shard, Box::new(|| panic!("in the test")));
        go.send(()).expect("the job waits");
        assert_eq!((order.recv(), order.recv()), (Ok("shard"), Ok("source")));
    }
}
