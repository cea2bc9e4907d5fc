//! A progress bar over many runs, and Ctrl-C.

use std::io::{self, IsTerminal};
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// What a shell reports of a program that Ctrl-C ended.
const INTERRUPTED: i32 = 130;

/// A progress bar on standard error; silent when that is not a terminal. Threads may share it.
#[derive(Clone, Debug)]
pub struct Progress(ProgressBar);

impl Progress {
    /// A bar over so many runs.
    pub fn new(runs: usize) -> Self {
        if !io::stderr().is_terminal() {
            return Self::hidden();
        }
        let bar = ProgressBar::new(u64::try_from(runs).unwrap_or(u64::MAX));
        let template = "{bar:30} {pos}/{len} runs, {elapsed} gone, about {eta} left  {msg}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(250));
        Self(bar)
    }

    /// A bar that shows nothing.
    pub fn hidden() -> Self {
        Self(ProgressBar::with_draw_target(
            None,
            ProgressDrawTarget::hidden(),
        ))
    }

    /// What is being done now, as `starling, seed 3`; the last word wins.
    pub fn says(&self, what: &str) {
        self.0.set_message(what.to_owned());
    }

    /// One run more is done.
    pub fn done(&self) {
        self.0.inc(1);
    }

    /// How many runs are done.
    pub fn count(&self) -> u64 {
        self.0.position()
    }

    /// Writes a line to standard error above the bar; only the line where there is no bar.
    pub fn line(&self, text: &str) {
        self.0.suspend(|| eprintln!("{text}"));
    }

    /// Takes the bar off the terminal.
    pub fn finish(&self) {
        self.0.finish_and_clear();
    }
}

/// A flag that becomes true at the first Ctrl-C, for work that stops in order; the second ends the
/// program at once. Files are safe either way: [`super::Report::write`] puts them in place whole.
///
/// # Errors
///
/// If the operating system does not let the program hear of it.
pub fn interrupted() -> io::Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    let shared = Arc::clone(&flag);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    // Registered before this returns, so that no Ctrl-C falls between.
    let mut interrupt = {
        let _inside = runtime.enter();
        tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt())?
    };
    thread::Builder::new()
        .name("interrupt".to_owned())
        .spawn(move || {
            runtime.block_on(async {
                while interrupt.recv().await.is_some() {
                    if shared.swap(true, Ordering::Relaxed) {
                        process::exit(INTERRUPTED);
                    }
                }
            });
        })?;
    Ok(flag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_counts_from_several_threads() {
        let progress = Progress::hidden();
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    progress.says("seed <1>");
                    (0..25).for_each(|_| progress.done());
                });
            }
        });
        assert_eq!(progress.count(), 100);
        progress.finish();
    }

    #[test]
    fn ctrl_c_raises_the_flag_and_does_not_kill() {
        let flag = interrupted().unwrap();
        assert!(!flag.load(Ordering::Relaxed));
        let own = rustix::process::getpid();
        rustix::process::kill_process(own, rustix::process::Signal::INT).unwrap();
        for _ in 0..500 {
            if flag.load(Ordering::Relaxed) {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
        panic!("nobody heard of it");
    }
}
