//! Times and sizes as people write and read them: `500ms 3s 1h`, `64KiB 1GiB`.

use std::time::Duration;

const KIB: f64 = 1024.0;

/// `500ms`, `3s`, `5m`, `1h`, `2d`; the unit is needed.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = split(text).ok_or("a number and a unit, such as 500ms, 3s, 5m or 1h")?;
    let seconds = match unit {
        "us" | "µs" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3_600.0,
        "d" => 86_400.0,
        "" => return Err(format!("a unit is missing: {number}ms, {number}s, {number}m or {number}h")),
        _ => return Err(format!("{unit:?} is no unit of time (ms, s, m, h, d)")),
    };
    Duration::try_from_secs_f64(number * seconds).map_err(|_| "too long".to_owned())
}

/// `256`, `64KiB`, `1MiB`, `1GiB`; also `64K` and `1M`, which mean the same.
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    let (number, unit) = split(text).ok_or("a number, or a number and a unit, such as 64KiB")?;
    let factor = match unit {
        "" | "B" => 1.0,
        "K" | "k" | "KiB" => KIB,
        "M" | "MiB" => KIB * KIB,
        "G" | "GiB" => KIB * KIB * KIB,
        "KB" | "kB" | "MB" | "GB" => return Err(format!("write {}iB, counted by 1,024", &unit[..1].to_uppercase())),
        _ => return Err(format!("{unit:?} is no unit of size (B, KiB, MiB, GiB)")),
    };
    let bytes = number * factor;
    if bytes < 2f64.powi(53) { Ok(bytes as u64) } else { Err("too large".to_owned()) }
}

/// `84 KiB`, `1.2 GiB`.
pub(crate) fn size(bytes: u64) -> String {
    let mut value = bytes as f64;
    let mut unit = "B";
    for next in ["KiB", "MiB", "GiB", "TiB"] {
        if value < KIB {
            break;
        }
        (value, unit) = (value / KIB, next);
    }
    if unit == "B" || value >= 10.0 { format!("{value:.0} {unit}") } else { format!("{value:.1} {unit}") }
}

/// `41 µs`, `0.9 ms`, `392 ms`, `1.24 s`.
pub(crate) fn short(duration: Duration) -> String {
    let us = duration.as_micros();
    match us {
        0..100 => format!("{us} µs"),
        100..10_000 => format!("{:.1} ms", us as f64 / 1e3),
        10_000..1_000_000 => format!("{} ms", (us + 500) / 1_000),
        1_000_000.. => format!("{:.2} s", us as f64 / 1e6),
    }
}

/// One unit, for a column: `42s`, `5m`, `3h`, `12d`.
pub(crate) fn age(milliseconds: u64) -> String {
    let seconds = milliseconds / 1_000;
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m", seconds / 60),
        3_600..86_400 => format!("{}h", seconds / 3_600),
        86_400.. => format!("{}d", seconds / 86_400),
    }
}

/// `1234567` as `1,234,567`.
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn split(text: &str) -> Option<(f64, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number: f64 = text[..end].parse().ok()?;
    Some((number, text[end..].trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_with_their_unit() {
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration("1.5 s"), Ok(Duration::from_millis(1_500)));
        assert_eq!(parse_duration("2h"), Ok(Duration::from_secs(7_200)));
        for wrong in ["", "5", "s", "-1s", "5 weeks", "1e3s", "99999999999999999999999d"] {
            assert!(parse_duration(wrong).is_err(), "{wrong:?} was taken");
        }
    }

    #[test]
    fn sizes_are_read_and_written() {
        assert_eq!(parse_size("256"), Ok(256));
        assert_eq!(parse_size("64KiB"), Ok(65_536));
        assert_eq!(parse_size("1.5M"), Ok(1_572_864));
        assert!(parse_size("1MB").is_err() && parse_size("KiB").is_err() && parse_size("9999999999GiB").is_err());
        assert_eq!([size(0), size(1_023), size(86_016), size(1_288_490_189)], ["0 B", "1023 B", "84 KiB", "1.2 GiB"]);
    }

    #[test]
    fn times_are_written_short() {
        let of = |us| short(Duration::from_micros(us));
        assert_eq!([of(41), of(900), of(392_400), of(1_240_000)], ["41 µs", "0.9 ms", "392 ms", "1.24 s"]);
        assert_eq!([age(42_000), age(300_000), age(12 * 86_400_000)], ["42s", "5m", "12d"]);
        assert_eq!([thousands(0), thousands(999), thousands(1_234_567)], ["0", "999", "1,234,567"]);
    }
}
