//! Amounts and times as people read them.

use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970, for ages in tables.
#[allow(
    clippy::disallowed_methods,
    reason = "the command line shows ages and decides nothing by them"
)]
pub(super) fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| u64::try_from(now.as_millis()).unwrap_or(u64::MAX))
}

/// Bytes in binary units with up to one decimal: `512B`, `64MiB`, `1.5GiB`.
pub(super) fn bytes(bytes: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut unit = 0;
    let mut tenths = u128::from(bytes) * 10;
    while tenths >= 10 * 1024 && unit + 1 < units.len() {
        tenths = (tenths + 512) / 1024;
        unit += 1;
    }
    let (whole, tenth) = (tenths / 10, tenths % 10);
    if tenth == 0 || whole >= 100 {
        format!("{whole}{}", units[unit])
    } else {
        format!("{whole}.{tenth}{}", units[unit])
    }
}

/// CPU in cores with up to two decimals: `6.5`, `0.1`.
pub(super) fn cores(millis: u32) -> String {
    let text = format!("{:.2}", f64::from(millis) / 1000.0);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A span of time in its largest unit or two: `250ms`, `2.5s`, `3m10s`, `5h2m`, `3d4h`.
pub(super) fn span(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0 => format!("{ms}ms"),
        1..=9 => format!("{seconds}.{}s", ms % 1000 / 100),
        10..=59 => format!("{seconds}s"),
        60..=3599 => format!("{}m{}s", seconds / 60, seconds % 60),
        3600..=86_399 => format!("{}h{}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d{}h", seconds / 86_400, seconds / 3600 % 24),
    }
}

/// How long ago `at_ms` was.
pub(super) fn ago(now_ms: u64, at_ms: u64) -> String {
    span(now_ms.saturating_sub(at_ms))
}

/// A point in time, in UTC: `2026-11-23 04:13:07`.
pub(super) fn moment(at_ms: u64) -> String {
    let at = UNIX_EPOCH + std::time::Duration::from_secs(at_ms / 1000);
    let text = humantime::format_rfc3339_seconds(at).to_string();
    text.trim_end_matches('Z').replace('T', " ")
}

/// A share of one, as per cent.
pub(super) fn percent(share: f64) -> String {
    format!("{:.0}%", share.clamp(0.0, 1.0) * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_read_well() {
        let sizes = [
            0,
            512,
            1536,
            64 << 20,
            3 << 29,
            100 << 30,
            1023 << 10,
            u64::MAX,
        ];
        let sizes = sizes.map(bytes);
        let expected = [
            "0B", "512B", "1.5KiB", "64MiB", "1.5GiB", "100GiB", "1023KiB", "16384PiB",
        ];
        assert_eq!(sizes, expected);
        assert_eq!(
            [0, 100, 6500, 8000, 1].map(cores),
            ["0", "0.1", "6.5", "8", "0"]
        );
        let spans = [0, 250, 2_540, 59_999, 190_000, 18_120_000, 273_600_000].map(span);
        assert_eq!(
            spans,
            ["0ms", "250ms", "2.5s", "59s", "3m10s", "5h2m", "3d4h"]
        );
        assert_eq!(ago(5_000, 9_000), "0ms");
        assert_eq!(moment(1_700_000_000_000), "2023-11-14 22:13:20");
        assert_eq!(
            (percent(0.256), percent(7.0)),
            ("26%".into(), "100%".into())
        );
    }
}
