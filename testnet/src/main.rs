//! The testnet program.
fn main() {}
