//! Tasks as containers, with this machine's engine and an image of our own.

mod compose;
mod engine;
mod refusing;
mod restarting;
mod running;
mod surviving;
