//! Lines in a frame, as SVG.

use std::fmt::Write;

use crate::tidy::root;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 380.0;
/// Left, right, top and bottom of the frame.
const FRAME: [f64; 4] = [70.0, 740.0, 40.0, 330.0];
const COLOURS: [&str; 6] = ["#c2410c", "#fb923c", "#1d4ed8", "#60a5fa", "#15803d", "#6b7280"];

pub struct Series {
    pub name: String,
    pub points: Vec<(f64, f64)>,
}

pub struct Plot {
    pub title: String,
    pub x: &'static str,
    pub y: &'static str,
    pub series: Vec<Series>,
}

impl Plot {
    /// Axes begin at zero; nothing is drawn of values that are no numbers.
    pub fn to_svg(&self) -> String {
        let points =
            || self.series.iter().flat_map(|series| &series.points).filter(|(x, y)| x.is_finite() && y.is_finite());
        let (x_step, x_end) = ticks(points().fold(0.0, |most, point| point.0.max(most)));
        let (y_step, y_end) = ticks(points().fold(0.0, |most, point| point.1.max(most)));
        let [left, right, top, bottom] = FRAME;
        let across = |x: f64| left + x / x_end * (right - left);
        let down = |y: f64| bottom - y / y_end * (bottom - top);
        let mut out = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n\
             <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n\
             <text x=\"{left}\" y=\"18\" font-size=\"14\">{}</text>\n",
            escaped(&self.title)
        );
        for at in 0..=(y_end / y_step).round() as u32 {
            let (value, y) = (f64::from(at) * y_step, down(f64::from(at) * y_step));
            let _ = writeln!(out, "<path d=\"M{left} {y:.1}H{right}\" stroke=\"#e5e7eb\"/>");
            let _ = writeln!(
                out,
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                left - 6.0,
                y + 4.0,
                short(value)
            );
        }
        for at in 0..=(x_end / x_step).round() as u32 {
            let value = f64::from(at) * x_step;
            let x = across(value);
            let _ = writeln!(out, "<path d=\"M{x:.1} {bottom}v4\" stroke=\"black\"/>");
            let _ = writeln!(
                out,
                "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                bottom + 17.0,
                short(value)
            );
        }
        let _ = writeln!(out, "<path d=\"M{left} {top}V{bottom}H{right}\" stroke=\"black\" fill=\"none\"/>");
        let middle = f64::midpoint(left, right);
        let _ = writeln!(
            out,
            "<text x=\"{middle}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            bottom + 34.0,
            escaped(self.x)
        );
        let _ = writeln!(out, "<text x=\"6\" y=\"{:.1}\">{}</text>", top - 8.0, escaped(self.y));
        let mut legend = left + 90.0;
        for (series, colour) in self.series.iter().zip(COLOURS.iter().cycle()) {
            let drawn = series.points.iter().filter(|(x, y)| x.is_finite() && y.is_finite());
            let mut path = String::new();
            for (x, y) in drawn {
                let _ = write!(path, "{:.1},{:.1} ", across(*x), down(*y));
            }
            let _ = writeln!(
                out,
                "<polyline points=\"{}\" stroke=\"{colour}\" stroke-width=\"1.5\" fill=\"none\"/>",
                path.trim_end()
            );
            let _ = writeln!(
                out,
                "<text x=\"{legend:.0}\" y=\"{:.1}\" fill=\"{colour}\">{}</text>",
                top - 8.0,
                escaped(&series.name)
            );
            legend += 14.0 + 6.4 * series.name.chars().count() as f64;
        }
        out.push_str("</svg>\n");
        out
    }
}

/// Writes `docs/plots/<name>.svg`.
pub fn write(name: &str, plot: &Plot) -> Result<(), String> {
    let folder = root().join("docs/plots");
    std::fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    std::fs::write(folder.join(format!("{name}.svg")), plot.to_svg()).map_err(|error| error.to_string())
}

/// A step of 1, 2 or 5 times a power of ten, and where an axis with four to eight of them ends.
fn ticks(most: f64) -> (f64, f64) {
    let rough = if most > 0.0 { most / 5.0 } else { 0.2 };
    let power = 10f64.powf(rough.log10().floor());
    let step =
        [1.0, 2.0, 5.0, 10.0].into_iter().map(|factor| factor * power).find(|step| *step >= rough).unwrap_or(rough);
    (step, step * (most / step).ceil().max(1.0))
}

fn short(value: f64) -> String {
    match value {
        1e6.. => format!("{}M", value / 1e6),
        10_000.0.. => format!("{}k", value / 1e3),
        _ => format!("{}", (value * 1e6).round() / 1e6),
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_lie_where_the_axes_say() {
        let line = |name: &str, points: &[(f64, f64)]| Series { name: name.into(), points: points.to_vec() };
        let series = vec![line("a < b", &[(0.0, 0.0), (10.0, 50.0)]), line("none", &[(1.0, f64::NAN)])];
        let svg = Plot { title: "T & U".into(), x: "s", y: "ms", series }.to_svg();
        assert!(svg.contains("<polyline points=\"70.0,330.0 740.0,40.0\""), "{svg}");
        assert!(svg.contains("a &lt; b") && svg.contains("T &amp; U") && svg.contains("points=\"\""), "{svg}");
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
        assert_eq!(svg.matches('<').count(), svg.matches('>').count());
    }

    #[test]
    fn ticks_are_round() {
        assert_eq!(ticks(50.0), (10.0, 50.0));
        assert_eq!(ticks(11.0), (5.0, 15.0));
        assert_eq!(ticks(0.0), (0.2, 0.2));
        assert_eq!(ticks(173_000.0), (50_000.0, 200_000.0));
    }
}
