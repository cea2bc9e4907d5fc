//! How many cached candidates are worth ranking.
//!
//! Two answers, of which the greater counts. By the view's age: ranking many helps while the view is
//! young and herds when it is old. By the quality that is asked for: a candidate drawn at random has
//! quality at most `x` with probability `F(x)`, so the best of `R` has `F(x)^R` (Tarcil's argument,
//! Delimitrou et al. 2015, in the form derived for this project).

use std::time::Duration;

/// The quality that the best candidate should reach: the share of nodes it is to surpass.
const QUALITY: f64 = 0.95;
/// How likely it should be to.
const CONFIDENCE: f64 = 0.9;
/// The most candidates that are ranked for a task.
pub const MAX_SAMPLE: usize = 48;

/// How many candidates to draw for one task, by the view's age in mean service times: the crossing
/// points measured for two live probes over a gossiped view.
pub fn by_age(age: Duration, mean_service: Duration) -> usize {
    let ratio = age.as_secs_f64() / mean_service.as_secs_f64().max(1e-6);
    match ratio {
        ratio if ratio < 1.0 => 8,
        ratio if ratio < 1.5 => 4,
        ratio if ratio < 4.0 => 3,
        _ => 2,
    }
}

/// How many candidates to draw so that with probability `confidence` the best surpasses a share
/// `quality` of all nodes, when a share `free` of them has room:
/// `ln(1 - confidence) / ln(1 - free (1 - quality))`, rounded up. All arguments lie in 0 to 1.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
pub fn by_quality(quality: f64, confidence: f64, free: f64) -> usize {
    let hit = (free * (1.0 - quality)).clamp(1e-6, 1.0 - 1e-9);
    let miss = (1.0 - confidence).clamp(1e-9, 1.0);
    libm::ceil(libm::log(miss) / libm::log(1.0 - hit)) as usize
}

/// How many candidates to draw for a task whose fit differs from node to node by more than load:
/// `spread` is whether it does, `free` the share of nodes with room.
pub fn size(age: Duration, mean_service: Duration, spread: bool, free: f64) -> usize {
    let by_age = by_age(age, mean_service);
    if spread {
        by_quality(QUALITY, CONFIDENCE, free).clamp(by_age, MAX_SAMPLE)
    } else {
        by_age
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_follow_the_published_table() {
        // Uniform quality, all nodes free: (quality, confidence) and the sample.
        for (quality, confidence, size) in [
            (0.8, 0.9, 11),
            (0.8, 0.99, 21),
            (0.9, 0.9, 22),
            (0.9, 0.95, 29),
            (0.9, 0.99, 44),
            (0.95, 0.99, 90),
        ] {
            assert_eq!(by_quality(quality, confidence, 1.0), size);
        }
        assert!(by_quality(0.9, 0.9, 0.5) > 40);
        let second = Duration::from_secs(1);
        assert_eq!(size(second / 2, second, false, 1.0), 8);
        assert_eq!(size(5 * second, second, false, 1.0), 2);
        assert_eq!(size(5 * second, second, true, 0.01), MAX_SAMPLE);
    }
}
