// SPDX-License-Identifier: GPL-3.0-or-later
//! Plots of how a quantity grows with the number of peers, as SVG.

use anyhow::anyhow;
use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::prelude::*;
use serde::{Deserialize, Serialize};

use super::table::number;

/// A quantity over the number of peers.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Growth {
    /// The name of its file, without extension.
    pub file: String,
    /// What is plotted, with its unit.
    pub title: String,
    /// Its curves.
    pub curves: Vec<Curve>,
}

/// One curve.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Curve {
    /// Whose.
    pub name: String,
    /// Peers, or minutes, and value.
    pub points: Vec<(f64, f64)>,
}

/// Size of the picture.
const SIZE: (u32, u32) = (720, 360);

/// Font and size of everything but the title.
const LABELS: (&str, u32) = ("sans-serif", 15);

/// One colour for each curve, apart from each other for people who see red and green alike.
const COLOURS: [RGBColor; 4] = [
    RGBColor(0x00, 0x72, 0xb2),
    RGBColor(0xd5, 0x5e, 0x00),
    RGBColor(0x00, 0x9e, 0x73),
    RGBColor(0x55, 0x55, 0x55),
];

/// The numbers of peers for which there is a value, the smallest first.
fn sizes(growth: &Growth) -> Vec<f64> {
    let points = growth.curves.iter().flat_map(|curve| &curve.points);
    let mut sizes: Vec<f64> = points.map(|(peers, _)| *peers).collect();
    sizes.sort_by(f64::total_cmp);
    sizes.dedup();
    sizes
}

/// The top of the scale of values: some air above the greatest, and never nothing.
fn top(curves: &[Curve]) -> f64 {
    let points = curves.iter().flat_map(|curve| &curve.points);
    let most = points.map(|(_, value)| *value).fold(0.0, f64::max);
    if most > 0.0 { most * 1.15 } else { 1.0 }
}

/// The picture, with the number of peers on a logarithmic scale.
///
/// # Errors
/// If there is nothing to draw, or it cannot be drawn.
pub(crate) fn render(growth: &Growth) -> anyhow::Result<String> {
    let sizes = sizes(growth);
    let (Some(least), Some(most)) = (sizes.first(), sizes.last()) else {
        return Err(anyhow!("there are no figures for {}", growth.file));
    };
    // With one number of peers alone there would be no scale to draw.
    let peers = *least..most.max(least * 1.001);
    let scale = peers.log_scale().with_key_points(sizes);
    draw(&growth.title, ("peers", scale), &growth.curves, 4)
}

/// A picture of curves with points of this size, over a quantity with this name and scale.
pub(super) fn draw<X>(
    title: &str,
    (name, scale): (&str, X),
    curves: &[Curve],
    points: u32,
) -> anyhow::Result<String>
where
    X: AsRangedCoord<Value = f64>,
    X::CoordDescType: ValueFormatter<f64>,
{
    let mut svg = String::new();
    let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption(title, ("sans-serif", 17))
        .margin(12)
        .margin_right(24)
        .x_label_area_size(36)
        .y_label_area_size(48)
        .build_cartesian_2d(scale, 0.0..top(curves))?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .label_style(LABELS)
        .light_line_style(TRANSPARENT)
        .bold_line_style(RGBColor(0xdd, 0xdd, 0xdd))
        .y_labels(6)
        .x_label_formatter(&|value| number(*value))
        .y_label_formatter(&|value| number(*value))
        .x_desc(name)
        .draw()?;
    for (curve, colour) in curves.iter().zip(COLOURS) {
        let line = LineSeries::new(curve.points.iter().copied(), colour.stroke_width(2));
        chart
            .draw_series(line.point_size(points))?
            .label(&curve.name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .background_style(WHITE)
        .label_font(LABELS)
        .draw()?;
    area.present()?;
    drop(chart);
    drop(area);
    Ok(svg)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn growth(points: Vec<(f64, f64)>) -> Growth {
        Growth {
            file: "x".into(),
            title: "cost".into(),
            curves: vec![Curve {
                name: "ours".into(),
                points,
            }],
        }
    }

    #[test]
    fn every_point_lies_within_the_picture() {
        let growth = growth(vec![(100.0, 5.0), (50_000.0, 1.0), (1_000.0, 0.0)]);
        let svg = render(&growth).unwrap();
        let circles: Vec<&str> = svg.split("<circle ").skip(1).collect();
        assert_eq!(circles.len(), 3);
        for circle in circles {
            let at = |name: &str| -> u32 {
                let (_, rest) = circle.split_once(&format!("{name}=\"")).unwrap();
                rest.split_once('"').unwrap().0.parse().unwrap()
            };
            assert!(at("cx") < SIZE.0 && at("cy") < SIZE.1, "{circle}");
        }
        assert!(svg.trim_end().ends_with("</svg>"));
    }

    #[test]
    fn few_figures_are_drawn_and_none_are_told_so() {
        for points in [vec![(100.0, 5.0)], vec![(1.0, 0.0), (2.0, 0.0)]] {
            let count = points.len();
            let svg = render(&growth(points)).unwrap();
            assert_eq!(svg.matches("<circle").count(), count);
        }
        let error = render(&growth(Vec::new())).unwrap_err().to_string();
        assert_eq!(error, "there are no figures for x");
    }

    #[test]
    fn every_size_is_named_once_on_the_scale() {
        let growth = growth(vec![(100.0, 5.0), (50_000.0, 1.0), (1_000.0, 0.0)]);
        assert_eq!(sizes(&growth), [100.0, 1_000.0, 50_000.0]);
        let svg = render(&growth).unwrap();
        for size in ["100", "1000", "50000"] {
            assert!(svg.lines().any(|line| line.trim() == size), "{size}");
        }
    }
}
