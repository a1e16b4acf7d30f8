// SPDX-License-Identifier: GPL-3.0-or-later
//! Plots of how a quantity grows with the number of peers, as SVG.

use std::fmt::Write as _;

use serde::Serialize;

use super::table::number;

/// A quantity over the number of peers.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Growth {
    /// The name of its file, without extension.
    pub file: &'static str,
    /// What is plotted, with its unit.
    pub title: &'static str,
    /// Its curves.
    pub curves: Vec<Curve>,
}

/// One curve.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Curve {
    /// Whose.
    pub name: &'static str,
    /// Peers and value.
    pub points: Vec<(f64, f64)>,
}

/// Size of the picture.
const SIZE: (f64, f64) = (720.0, 360.0);

/// Free space left, right, above and below the plotted area.
const MARGINS: (f64, f64, f64, f64) = (60.0, 150.0, 40.0, 45.0);

/// One colour for each curve, apart from each other for people who see red and green alike.
const COLOURS: [&str; 4] = ["#0072b2", "#d55e00", "#009e73", "#555555"];

/// Where values land in the picture: the number of peers by its logarithm, the value as it is.
struct Area {
    peers: (f64, f64),
    most: f64,
}

impl Area {
    fn of(growth: &Growth) -> Self {
        let points = || growth.curves.iter().flat_map(|curve| &curve.points);
        let least = points().map(|(peers, _)| *peers).fold(f64::MAX, f64::min);
        let greatest = points().map(|(peers, _)| *peers).fold(1.0, f64::max);
        let most = points().map(|(_, value)| *value).fold(0.0, f64::max);
        Area {
            peers: (least.clamp(1.0, greatest).ln(), greatest.ln()),
            // Some air above, and no division by zero.
            most: if most > 0.0 { most * 1.15 } else { 1.0 },
        }
    }

    fn x(&self, peers: f64) -> f64 {
        let width = SIZE.0 - MARGINS.0 - MARGINS.1;
        let range = (self.peers.1 - self.peers.0).max(f64::MIN_POSITIVE);
        MARGINS.0 + width * (peers.max(1.0).ln() - self.peers.0) / range
    }

    fn y(&self, value: f64) -> f64 {
        let height = SIZE.1 - MARGINS.2 - MARGINS.3;
        SIZE.1 - MARGINS.3 - height * value / self.most
    }
}

/// A step between lines of a scale that gives about five of them, in round numbers.
fn step(most: f64) -> f64 {
    let rough = most / 5.0;
    let magnitude = 10f64.powf(rough.log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|factor| factor * magnitude)
        .find(|step| *step >= rough)
        .unwrap_or(rough)
}

/// The picture.
pub(crate) fn render(growth: &Growth) -> String {
    let area = Area::of(growth);
    let (left, right) = (MARGINS.0, SIZE.0 - MARGINS.1);
    let bottom = SIZE.1 - MARGINS.3;
    // Writing to a string cannot fail, here and below.
    let mut svg = String::new();
    let _ = writeln!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"{left}\" y=\"20\" font-size=\"14\">{}</text>",
        SIZE.0, SIZE.1, growth.title
    );
    let step = step(area.most);
    let mut value = 0.0;
    while value <= area.most {
        let y = area.y(value);
        let _ = writeln!(
            svg,
            "<path d=\"M{left} {y:.1}H{right}\" stroke=\"#ddd\"/>\n\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            left - 6.0,
            y + 4.0,
            number(value)
        );
        value += step;
    }
    let mut ticks: Vec<f64> = growth
        .curves
        .iter()
        .flat_map(|curve| curve.points.iter().map(|(peers, _)| *peers))
        .collect();
    ticks.sort_by(f64::total_cmp);
    ticks.dedup();
    for peers in ticks {
        let x = area.x(peers);
        let _ = writeln!(
            svg,
            "<path d=\"M{x:.1} {bottom}v5\" stroke=\"black\"/>\n\
             <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            bottom + 18.0,
            number(peers)
        );
    }
    let _ = writeln!(
        svg,
        "<path d=\"M{left} {bottom}H{right}\" stroke=\"black\"/>\n\
         <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">peers</text>",
        f64::midpoint(left, right),
        bottom + 36.0
    );
    for (n, (curve, colour)) in growth.curves.iter().zip(COLOURS).enumerate() {
        curve_of(&mut svg, &area, curve, colour, n);
    }
    svg.push_str("</svg>\n");
    svg
}

/// One curve, its points and its entry in the legend.
fn curve_of(svg: &mut String, area: &Area, curve: &Curve, colour: &str, n: usize) {
    let mut path = String::new();
    for (peers, value) in &curve.points {
        let (x, y) = (area.x(*peers), area.y(*value));
        let _ = write!(
            path,
            "{}{x:.1} {y:.1}",
            if path.is_empty() { "M" } else { "L" }
        );
        let _ = writeln!(
            svg,
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\" fill=\"{colour}\"/>"
        );
    }
    let x = SIZE.0 - MARGINS.1 + 12.0;
    let y = MARGINS.2 + 12.0 + 20.0 * n as f64;
    let _ = writeln!(
        svg,
        "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>\n\
         <path d=\"M{x} {y}h18\" stroke=\"{colour}\" stroke-width=\"2\"/>\n\
         <text x=\"{}\" y=\"{}\">{}</text>",
        x + 24.0,
        y + 4.0,
        curve.name
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_point_lies_within_the_picture() {
        let growth = Growth {
            file: "x",
            title: "cost",
            curves: vec![Curve {
                name: "ours",
                points: vec![(100.0, 5.0), (50_000.0, 1.0), (1_000.0, 0.0)],
            }],
        };
        let area = Area::of(&growth);
        for (peers, value) in &growth.curves[0].points {
            let (x, y) = (area.x(*peers), area.y(*value));
            assert!((MARGINS.0..=SIZE.0 - MARGINS.1).contains(&x), "{x}");
            assert!((MARGINS.2..=SIZE.1 - MARGINS.3).contains(&y), "{y}");
        }
        let svg = render(&growth);
        assert_eq!(svg.matches("<circle").count(), 3);
        assert!(svg.ends_with("</svg>\n"));
    }

    #[test]
    fn scales_have_round_steps() {
        assert_eq!(step(100.0), 20.0);
        assert_eq!(step(7.0), 2.0);
        assert_eq!(step(0.3), 0.1);
    }
}
