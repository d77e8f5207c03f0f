//! Costs as a table for people.

use super::{Cost, Spread};
use std::fmt::Write as _;

/// Components beside each other; of two, the ratio of the second to the first.
#[must_use]
pub fn table(costs: &[Cost]) -> String {
    type Cell<'a> = &'a dyn Fn(&Cost) -> String;
    type Number<'a> = Option<&'a dyn Fn(&Cost) -> f64>;
    let rows: [(&str, Cell<'_>, Number<'_>); 11] = [
        ("", &|c| c.component.display().to_string(), None),
        ("digest", &|c| c.digest.clone(), None),
        ("size", &|c| bytes(c.bytes as f64), Some(&|c| c.bytes as f64)),
        ("compile", &|c| time(c.compile), Some(&|c| c.compile)),
        ("instantiate", &|c| spread(c.instantiate, time), Some(&|c| c.instantiate.p50)),
        ("event, 64 in a call", &|c| spread(c.together, time), Some(&|c| c.together.p50)),
        ("  of it the way in", &|c| format!("{} ({:.0} %)", time(c.boundary), 100.0 * c.boundary / c.together.p50.max(1.0)), None),
        ("event, one in a call", &|c| spread(c.alone, time), Some(&|c| c.alone.p50)),
        ("fuel an event", &|c| spread(c.fuel, count), Some(&|c| c.fuel.p50)),
        (
            "throughput of a core",
            &|c| format!("{} events/s, {}/s", count(c.events_per_second), bytes(c.bytes_per_second)),
            Some(&|c| c.events_per_second),
        ),
        ("memory of an instance", &|c| bytes(c.memory as f64), Some(&|c| c.memory as f64)),
    ];
    let cells: Vec<Vec<String>> = rows.iter().map(|(_, cell, _)| costs.iter().map(cell).collect()).collect();
    let width = cells.iter().flatten().map(|cell| cell.chars().count()).max().unwrap_or_default();
    let mut out = String::new();
    for ((name, _, number), cells) in rows.iter().zip(&cells) {
        let _ = write!(out, "{name:<23}");
        for cell in cells {
            let _ = write!(out, "{cell:<width$}  ");
        }
        if let ([first, second], Some(number)) = (costs, number) {
            let _ = write!(out, "× {:.2}", number(second) / number(first));
        }
        out.truncate(out.trim_end().len());
        out.push('\n');
    }
    out
}

/// Any number of components, one a line, as Markdown.
#[must_use]
pub fn lines(costs: &[Cost]) -> String {
    let mut out = "| component | size | compile | instantiate | event, 64 in a call | alone in its call | fuel | memory |\n".to_owned();
    out.push_str("|---|---:|---:|---:|---:|---:|---:|---:|\n");
    for cost in costs {
        let cells = [
            bytes(cost.bytes as f64),
            time(cost.compile),
            time(cost.instantiate.p50),
            time(cost.together.p50),
            time(cost.alone.p50),
            count(cost.fuel.p50),
            bytes(cost.memory as f64),
        ];
        let _ = writeln!(out, "| {} | {} |", cost.component.display(), cells.join(" | "));
    }
    out
}

fn spread(spread: Spread, unit: impl Fn(f64) -> String) -> String {
    format!("{} · {} · {} · {}", unit(spread.p50), unit(spread.p90), unit(spread.p99), unit(spread.max))
}

/// Three digits and a unit.
fn scaled(value: f64, step: f64, units: &[&str]) -> String {
    let mut value = value;
    let mut left = units.iter();
    let mut unit = left.next().copied().unwrap_or_default();
    for next in left {
        if value < step {
            break;
        }
        (value, unit) = (value / step, next);
    }
    let digits = if value >= 100.0 || value.fract() == 0.0 { 0 } else { 2 - usize::from(value >= 10.0) };
    format!("{value:.digits$}{}{unit}", if unit.is_empty() { "" } else { " " })
}

fn time(nanos: f64) -> String {
    scaled(nanos, 1000.0, &["ns", "µs", "ms", "s"])
}

fn bytes(bytes: f64) -> String {
    scaled(bytes, 1000.0, &["B", "kB", "MB", "GB"])
}

fn count(count: f64) -> String {
    scaled(count, 1000.0, &["", "k", "M", "G"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits() {
        assert_eq!([time(7.0), time(1234.0), time(12_345_000.0)], ["7 ns", "1.23 µs", "12.3 ms"]);
        assert_eq!([bytes(0.0), bytes(216_900.0), count(999.4), count(1_500.0)], ["0 B", "217 kB", "999", "1.50 k"]);
    }
}
