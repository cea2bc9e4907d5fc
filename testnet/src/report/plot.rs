//! Drawings as SVG: curves over an axis, and means with their intervals.

use std::ops::Range;

use plotters::coord::Shift;
use plotters::coord::ranged1d::{AsRangedCoord, Ranged, ValueFormatter};
use plotters::prelude::{
    ChartBuilder, Circle, DrawingArea, DrawingAreaErrorKind, DrawingBackend, IntoDrawingArea,
    IntoLogRange, IntoSegmentedCoord, LineSeries, PathElement, SVGBackend, SegmentValue,
};
use plotters::style::{Color, IntoFont, IntoTextStyle};

use super::curves::Point;
use super::ink::{AXIS, GRID, MARK, color};
use super::stats::Estimate;

/// Nearly twice what a page shows: coordinates are whole numbers.
const SIZE: (u32, u32) = (960, 540);
const FONT: (&str, i32) = ("sans-serif", 30);
/// How thick the bar of an interval is; the page's style knows it by that, and leaves it whole.
pub(super) const BAR: u32 = 8;
/// More marks than this are drawn faintly and without their numbers, or nobody sees the curves.
const CLEAR_MARKS: usize = 12;

/// Why a drawing failed.
#[derive(Debug, thiserror::Error)]
#[error("a plot cannot be drawn: {0}")]
pub struct PlotError(String);

impl<E: std::error::Error + Send + Sync> From<DrawingAreaErrorKind<E>> for PlotError {
    fn from(error: DrawingAreaErrorKind<E>) -> Self {
        Self(error.to_string())
    }
}

/// Curves, one per policy that has any points.
pub(super) struct Curves<'a> {
    /// What lies along, with its unit.
    pub x: &'a str,
    /// What is shown, with its unit.
    pub y: &'a str,
    /// Whether `x` is logarithmic.
    pub log: bool,
    /// Points by policy.
    pub lines: Vec<(usize, Vec<Point>)>,
    /// Where something happened, along `x`.
    pub marks: &'a [f64],
}

/// Means with their intervals, and the single values.
pub(super) struct Intervals<'a> {
    /// What is shown, with its unit.
    pub x: &'a str,
    /// By policy: its name, the mean, and each seed's value.
    pub rows: Vec<(String, Estimate, Vec<f64>)>,
}

impl Curves<'_> {
    /// As SVG; none if there is nothing to draw.
    pub(super) fn svg(&self) -> Result<Option<String>, PlotError> {
        let points = || self.lines.iter().flat_map(|(_, points)| points);
        let Some(x) = bounds(points().map(|point| point.0)) else {
            return Ok(None);
        };
        let high = points().map(|point| point.1).fold(0.0, f64::max);
        let y = 0.0..if high > 0.0 { high * 1.06 } else { 1.0 };
        let mut svg = String::new();
        {
            let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
            if self.log {
                let x = (x.start / 1.05).max(1e-9)..x.end * 1.05;
                self.draw(&root, x.log_scale(), y)?;
            } else {
                self.draw(&root, 0f64.min(x.start)..x.end, y)?;
            }
            root.present()?;
        }
        Ok(Some(svg))
    }

    fn draw<B, X>(
        &self,
        root: &DrawingArea<B, Shift>,
        x: X,
        y: Range<f64>,
    ) -> Result<(), DrawingAreaErrorKind<B::ErrorType>>
    where
        B: DrawingBackend,
        X: AsRangedCoord<Value = f64>,
        X::CoordDescType: Ranged<ValueType = f64> + ValueFormatter<f64>,
    {
        let top = y.end;
        let font = FONT.into_font().color(&AXIS);
        let mut chart = ChartBuilder::on(root)
            .margin(14)
            .margin_top(34)
            .margin_right(34)
            .x_label_area_size(72)
            .y_label_area_size(112)
            .build_cartesian_2d(x, y)?;
        chart
            .configure_mesh()
            .x_labels(7)
            .y_labels(6)
            .axis_style(AXIS)
            .bold_line_style(GRID)
            .light_line_style(GRID.mix(0.0))
            .label_style(font.clone())
            .axis_desc_style(font.clone())
            .x_label_formatter(&|x| tick(*x))
            .y_label_formatter(&|y| tick(*y))
            .x_desc(self.x)
            .y_desc(self.y)
            .draw()?;
        let clear = self.marks.len() <= CLEAR_MARKS;
        let ink = MARK.mix(if clear { 0.8 } else { 0.25 }).stroke_width(2);
        for (number, at) in (1..).zip(self.marks) {
            chart.draw_series([PathElement::new([(*at, 0.0), (*at, top)], ink)])?;
            if clear {
                // Above the frame, where no curve comes.
                let (dx, dy) = chart.backend_coord(&(*at, top));
                let style = FONT.into_text_style(root).color(&MARK);
                root.draw_text(&number.to_string(), &style, (dx - 7, dy - 30))?;
            }
        }
        for (policy, points) in &self.lines {
            let style = color(*policy).stroke_width(4);
            chart.draw_series(LineSeries::new(points.iter().copied(), style))?;
        }
        Ok(())
    }
}

impl Intervals<'_> {
    /// As SVG; none if there is nothing to draw.
    pub(super) fn svg(&self) -> Result<Option<String>, PlotError> {
        let values = self.rows.iter().flat_map(|(_, estimate, values)| {
            let (low, high) = estimate.ends();
            values.iter().copied().chain([low, high])
        });
        let Some(x) = bounds(values) else {
            return Ok(None);
        };
        let count = i32::try_from(self.rows.len()).unwrap_or(i32::MAX);
        let longest = self.rows.iter().map(|(name, ..)| name.chars().count());
        let names = u32::try_from(longest.max().unwrap_or_default()).unwrap_or(0);
        let height = 120 + 56 * u32::try_from(count).unwrap_or(0);
        let mut svg = String::new();
        {
            let root = SVGBackend::with_string(&mut svg, (SIZE.0, height)).into_drawing_area();
            self.draw(&root, x, count, (names * 13 + 40).clamp(112, 420))?;
            root.present()?;
        }
        Ok(Some(svg))
    }

    fn draw<B: DrawingBackend>(
        &self,
        root: &DrawingArea<B, Shift>,
        x: Range<f64>,
        count: i32,
        names: u32,
    ) -> Result<(), DrawingAreaErrorKind<B::ErrorType>> {
        let font = FONT.into_font().color(&AXIS);
        let margin = (x.end - x.start) * 0.05;
        let mut chart = ChartBuilder::on(root)
            .margin(14)
            .margin_right(34)
            .x_label_area_size(72)
            .y_label_area_size(names)
            .build_cartesian_2d(
                0f64.min(x.start)..x.end + margin,
                (0..count - 1).into_segmented(),
            )?;
        // The first policy stands on top.
        let row = |at: usize| i32::try_from(self.rows.len() - 1 - at).unwrap_or(0);
        let name = |value: &SegmentValue<i32>| match value {
            SegmentValue::CenterOf(value) => usize::try_from(*value)
                .ok()
                .and_then(|value| self.rows.get((self.rows.len() - 1).checked_sub(value)?))
                .map_or_else(String::new, |(name, ..)| name.clone()),
            _ => String::new(),
        };
        chart
            .configure_mesh()
            .x_labels(7)
            .y_labels(self.rows.len())
            .axis_style(AXIS)
            .bold_line_style(GRID)
            .light_line_style(GRID.mix(0.0))
            .label_style(font.clone())
            .axis_desc_style(font)
            .x_label_formatter(&|x| tick(*x))
            .y_label_formatter(&name)
            .x_desc(self.x)
            .draw()?;
        for (at, (_, estimate, values)) in self.rows.iter().enumerate() {
            let y = || SegmentValue::CenterOf(row(at));
            let (low, high) = estimate.ends();
            let ink = color(at);
            let bar = PathElement::new([(low, y()), (high, y())], ink.mix(0.4).stroke_width(BAR));
            chart.draw_series([bar])?;
            let seeds = values
                .iter()
                .map(|value| Circle::new((*value, y()), 5, ink.filled()));
            chart.draw_series(seeds)?;
            let mean = Circle::new((estimate.mean, y()), 11, ink.filled());
            chart.draw_series([mean])?;
        }
        Ok(())
    }
}

/// The least and the greatest of the finite values; apart, even if they are one. None of none.
fn bounds(values: impl Iterator<Item = f64> + Clone) -> Option<Range<f64>> {
    let finite = values.filter(|value| value.is_finite());
    let low = finite.clone().reduce(f64::min)?;
    let high = finite.reduce(f64::max)?;
    Some(if high > low {
        low..high
    } else {
        low..low + low.abs().max(1.0) * 0.1
    })
}

/// A number beside an axis: three digits, and no more than it needs.
fn tick(value: f64) -> String {
    let rounded: Option<f64> = format!("{value:.2e}").parse().ok();
    rounded.unwrap_or(value).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_short() {
        let ticks = [0.0, 0.1, 0.30000000000000004, 2.5, 150.0, 12_000.0].map(tick);
        assert_eq!(ticks.join(" "), "0 0.1 0.3 2.5 150 12000");
    }

    #[test]
    fn nothing_is_not_drawn_and_a_point_is() {
        let mut curves = Curves {
            x: "time, s",
            y: "tasks",
            log: false,
            lines: vec![(0, Vec::new())],
            marks: &[],
        };
        assert!(curves.svg().unwrap().is_none());
        curves.lines[0].1 = vec![(0.0, 0.0)];
        assert!(curves.svg().unwrap().is_some());
        curves.log = true;
        curves.lines[0].1 = vec![(0.001, 50.0), (0.001, 100.0)];
        assert!(
            curves
                .svg()
                .unwrap()
                .is_some_and(|svg| svg.contains("tasks"))
        );
    }

    #[test]
    fn names_on_an_axis_are_escaped_and_in_order() {
        let estimate = Estimate::of(&[1.0, 2.0]).unwrap();
        let row = |name: &str| (name.to_owned(), estimate, vec![1.0, 2.0]);
        let rows = vec![row("a & b"), row("<c>")];
        let svg = Intervals { x: "s", rows }.svg().unwrap().unwrap();
        // Labels are drawn from the bottom.
        let (first, second) = (svg.find("a &amp; b"), svg.find("&lt;c&gt;"));
        assert!(first > second && second.is_some(), "{svg}");
    }
}
