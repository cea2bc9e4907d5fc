//! Independent runs on several threads, with results in order.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use super::progress::Progress;

/// Does `work` on every job, with its number, on so many threads (at least one), and returns the
/// results in the order of the jobs: they do not depend on the number of threads unless the work
/// does. Jobs that were not begun when `stop` became true have none. A panic of the work is passed
/// on when all threads have ended.
pub fn parallel<T: Send, R: Send>(
    jobs: Vec<T>,
    threads: usize,
    stop: &AtomicBool,
    progress: &Progress,
    work: impl Fn(usize, T) -> R + Sync,
) -> Vec<Option<R>> {
    let threads = threads.clamp(1, jobs.len().max(1));
    let jobs: Vec<_> = jobs.into_iter().map(|job| Mutex::new(Some(job))).collect();
    let results: Vec<_> = jobs.iter().map(|_| Mutex::new(None)).collect();
    let next = AtomicUsize::new(0);
    let run = || {
        while !stop.load(Ordering::Relaxed) {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let (Some(job), Some(result)) = (jobs.get(at), results.get(at)) else {
                return;
            };
            // Each lock is held by one thread for a moment; a panic elsewhere does not spoil it.
            let job = job.lock().unwrap_or_else(PoisonError::into_inner).take();
            let Some(job) = job else { return };
            let done = work(at, job);
            *result.lock().unwrap_or_else(PoisonError::into_inner) = Some(done);
            progress.done();
        }
    };
    thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(run);
        }
        run();
    });
    let taken = |result: Mutex<Option<R>>| {
        let result = result.into_inner();
        result.unwrap_or_else(PoisonError::into_inner)
    };
    results.into_iter().map(taken).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_in_order_whatever_the_threads() {
        let alone = |threads| {
            let stop = AtomicBool::new(false);
            let jobs: Vec<u64> = (0..100).collect();
            parallel(jobs, threads, &stop, &Progress::hidden(), |at, job| {
                // Early jobs take longest.
                if at < 4 {
                    thread::sleep(std::time::Duration::from_millis(5));
                }
                (at, job * job)
            })
        };
        let expected: Vec<_> = (0..100u64)
            .zip(0..100usize)
            .map(|(job, at)| Some((at, job * job)))
            .collect();
        for threads in [0, 1, 3, 8, 1_000] {
            assert_eq!(alone(threads), expected, "{threads}");
        }
    }

    #[test]
    fn several_threads_work_at_once() {
        let stop = AtomicBool::new(false);
        let barrier = std::sync::Barrier::new(2);
        // Would hang if one thread did both.
        let done = parallel(vec![(), ()], 2, &stop, &Progress::hidden(), |_, ()| {
            barrier.wait();
            true
        });
        assert_eq!(done, [Some(true), Some(true)]);
    }

    #[test]
    fn a_stop_leaves_out_what_was_not_begun() {
        let stop = AtomicBool::new(false);
        let progress = Progress::hidden();
        let done = parallel((0..10).collect(), 1, &stop, &progress, |at, job: u32| {
            if at == 3 {
                stop.store(true, Ordering::Relaxed);
            }
            job
        });
        let some: Vec<_> = done.iter().flatten().copied().collect();
        assert_eq!((some, done.len()), (vec![0, 1, 2, 3], 10));
        let none: Vec<Option<()>> = parallel(Vec::new(), 2, &stop, &progress, |_, ()| ());
        assert!(none.is_empty());
    }

    #[test]
    fn a_panic_is_passed_on() {
        let stop = AtomicBool::new(false);
        let result = std::panic::catch_unwind(|| {
            parallel(vec![1, 2, 3], 2, &stop, &Progress::hidden(), |_, job| {
                assert!(job != 2, "on purpose");
            })
        });
        assert!(result.is_err());
    }
}
