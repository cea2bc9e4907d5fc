//! Colours and dashes by which policies are told apart, in light and dark.
//!
//! A drawing carries the light colours itself. Each policy's is unique, so that the page's style
//! can find its lines by them, make them dashed, and give them other colours in the dark.

use std::fmt::Write as _;

use plotters::style::RGBColor;

use super::plot::BAR;

/// Told apart by most eyes; for white paper.
const LIGHT: [(u8, u8, u8); 8] = [
    (0x1b, 0x6f, 0xc2),
    (0xd9, 0x48, 0x0f),
    (0x2b, 0x8a, 0x3e),
    (0x9c, 0x36, 0xb5),
    (0xc2, 0x25, 0x5c),
    (0x0b, 0x72, 0x85),
    (0x8d, 0x6e, 0x00),
    (0x49, 0x50, 0x57),
];

/// The same hues, for a dark page.
const DARK: [&str; 8] = [
    "#6cb2ff", "#ff9d5c", "#6fdc8c", "#dc9bff", "#ff8fb3", "#5fd4e6", "#e6c84a", "#ced4da",
];

/// Solid, dashed, dotted, both; in units of the drawings.
const DASHES: [&str; 4] = ["none", "20 9", "4 7", "18 7 4 7"];

/// Axes and the text on them.
pub(super) const AXIS: RGBColor = RGBColor(0x33, 0x33, 0x33);
/// Grid lines.
pub(super) const GRID: RGBColor = RGBColor(0xdd, 0xdd, 0xdd);
/// Moments at which something goes wrong or right.
pub(super) const MARK: RGBColor = RGBColor(0xe0, 0x31, 0x31);

/// The colour of a policy by its place in the report. Hues repeat after eight, with other dashes.
pub(super) fn color(policy: usize) -> RGBColor {
    let (red, green, blue) = LIGHT[policy % LIGHT.len()];
    // A shade that nobody sees keeps the colour unique, up to 8 x 60 policies.
    let shade = u8::try_from(policy / LIGHT.len() % 60).unwrap_or(0);
    RGBColor(red, green, blue.saturating_add(shade))
}

/// A colour as drawings write it.
pub(super) fn hex(RGBColor(red, green, blue): RGBColor) -> String {
    format!("#{red:02X}{green:02X}{blue:02X}")
}

/// The rules of a page for this many policies.
pub(super) fn style(policies: usize) -> String {
    let mut light = String::new();
    let mut dark = String::new();
    for policy in 0..policies {
        let hex = hex(color(policy));
        let round = policy / LIGHT.len();
        let dash = DASHES[(policy + round) % DASHES.len()];
        let _ = writeln!(
            light,
            "svg [stroke=\"{hex}\"]:not([stroke-width=\"{BAR}\"]){{stroke-dasharray:{dash}}}"
        );
        let hue = DARK[policy % DARK.len()];
        rule(&mut dark, &hex, hue);
    }
    for (color, other) in [(AXIS, "#bbb"), (GRID, "#444"), (MARK, "#ff6b6b")] {
        rule(&mut dark, &hex(color), other);
    }
    format!("{light}@media (prefers-color-scheme:dark){{\n{dark}}}\n")
}

fn rule(to: &mut String, hex: &str, other: &str) {
    let _ = writeln!(to, "svg [stroke=\"{hex}\"]{{stroke:{other}}}");
    let _ = writeln!(to, "svg [fill=\"{hex}\"]{{fill:{other}}}");
}

/// A short stroke for the legend.
pub(super) fn key(policy: usize) -> String {
    let hex = hex(color(policy));
    format!(
        "<svg class=\"key\" viewBox=\"0 0 96 12\" aria-hidden=\"true\"><path d=\"M2 6H94\" \
         fill=\"none\" stroke=\"{hex}\" stroke-width=\"6\"/></svg>"
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_policy_has_its_own_colour() {
        let mut all: BTreeSet<_> = (0..100).map(|policy| hex(color(policy))).collect();
        all.extend([AXIS, GRID, MARK].map(hex));
        assert_eq!(all.len(), 103);
        let style = style(9);
        assert_eq!(style.matches("stroke-dasharray").count(), 9);
        assert!(style.contains(&hex(color(8))));
    }
}
