//! Which seeds a test runs.

/// `STARLING_SEEDS=A..B`, else the first `few`.
pub(crate) fn seeds(few: u64) -> std::ops::Range<u64> {
    let Ok(text) = std::env::var("STARLING_SEEDS") else {
        return 0..few;
    };
    let range = text
        .split_once("..")
        .and_then(|(a, b)| Some(a.parse().ok()?..b.parse().ok()?));
    range.unwrap_or_else(|| panic!("STARLING_SEEDS: `{text}` is not A..B, for example 0..1000"))
}
