// SPDX-License-Identifier: GPL-3.0-or-later
//! Plots of quantities over the time of a long run, as SVG.

use anyhow::anyhow;

use super::plot::{Curve, draw};

/// Quantities of one unit.
#[derive(Clone, Debug)]
pub(crate) struct Plot {
    /// The name of its file, without extension.
    pub file: String,
    /// What is plotted, with its unit.
    pub title: String,
    /// Minutes and values of each.
    pub curves: Vec<Curve>,
}

/// The picture.
///
/// # Errors
/// If there is nothing to draw, or it cannot be drawn.
pub(crate) fn render(plot: &Plot) -> anyhow::Result<String> {
    let ends = plot.curves.iter().filter_map(|curve| curve.points.last());
    let end = ends
        .map(|(minutes, _)| *minutes)
        .max_by(f64::total_cmp)
        .ok_or_else(|| anyhow!("there are no figures for {}", plot.file))?;
    draw(&plot.title, ("minutes", 0.0..end), &plot.curves, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_quantity_has_a_line_and_a_name() {
        let curve = |name: &str| Curve {
            name: name.into(),
            points: (1..60).map(|at| (f64::from(at), 5.0)).collect(),
        };
        let mut plot = Plot {
            file: "x".into(),
            title: "memory".into(),
            curves: vec![curve("core"), curve("pinger")],
        };
        let svg = render(&plot).unwrap();
        for name in ["core", "pinger", "minutes", "memory"] {
            assert!(svg.lines().any(|line| line.trim() == name), "{name}");
        }
        plot.curves.clear();
        let error = render(&plot).unwrap_err().to_string();
        assert_eq!(error, "there are no figures for x");
    }
}
