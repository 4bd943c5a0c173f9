//! Results as numbers that can be added up and compared exactly.

use std::cell::RefCell;
use std::collections::BTreeMap;

use super::unit::Fraction;

/// Parts of one in which results are added up.
pub const BILLION: i128 = 1_000_000_000;

/// What a batch computes at every epoch anew: a fifth of the time of its tests was the text of doubles.
const KNOWN: usize = 65_536;

/// What was found for doubles.
type Found<T> = RefCell<BTreeMap<u64, T>>;

fn known<T: Copy>(found: &Found<T>, result: f64, find: fn(f64) -> T) -> T {
    let mut found = found.borrow_mut();
    if found.len() >= KNOWN {
        found.clear();
    }
    *found.entry(result.to_bits()).or_insert_with(|| find(result))
}

/// A result as the decimal that stands for it in text.
pub fn decimal(result: f64) -> Fraction {
    thread_local! {
        static FOUND: Found<Fraction> = RefCell::default();
    }
    FOUND.with(|found| known(found, result, as_text))
}

fn as_text(result: f64) -> Fraction {
    // The shortest text that is read as this double again; never in exponents.
    let text = result.abs().to_string();
    let (whole, part) = text.split_once('.').unwrap_or((&text, ""));
    let places = 20;
    // What is finer is told apart from nothing, and no threshold is as fine.
    let finer = part.len() > places;
    let digits = format!(
        "{whole}{:0<places$}{}",
        &part[..part.len().min(places)],
        u8::from(finer)
    );
    let number: i128 = digits.parse().expect("digits");
    (
        if result < 0.0 { -number } else { number },
        10i128.pow(places as u32 + 1),
    )
}

/// In billionths: a decimal of up to six places as it is, all else as the double, half away from zero.
pub fn billionths(result: f64) -> i128 {
    thread_local! {
        static FOUND: Found<i128> = RefCell::default();
    }
    FOUND.with(|found| known(found, result, of_text))
}

fn of_text(result: f64) -> i128 {
    let written = [3, 6].map(|places| format!("{result:.places$}"));
    let short = written.into_iter().find(|text| text.parse() == Ok(result));
    // More digits than any double of this size needs to tell what is between two from what is not.
    let text = short.unwrap_or_else(|| format!("{result:.60}"));
    let (whole, part) = text.split_once('.').expect("there are places");
    let digits: i128 = format!("{whole}{part:0<10.10}").parse().expect("digits");
    (digits.abs() + 5) / 10 * if text.starts_with('-') { -1 } else { 1 }
}
