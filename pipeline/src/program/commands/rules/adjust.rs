//! `--adjust tide_level+0.3`: what the rules of a set see in the place of results.

use riskflow_model::ruleset::Adjust;
use riskflow_model::{Number, Problems};

/// Reads adjustments: `PROPERTY*FACTOR`, `PROPERTY+NUMBER`, `PROPERTY-NUMBER`, or both, the factor first. Whether the numbers fit says the
/// check of the set.
///
/// # Errors
///
/// All that are no such thing.
pub fn read(given: &[String]) -> Result<Vec<Adjust>, Problems> {
    let mut problems = Problems::default();
    let mut read = Vec::new();
    for text in given {
        match parse(text) {
            Some(adjust) => read.push(adjust),
            None => problems.add(
                "--adjust",
                format!("`{text}`"),
                "an observed property with what becomes of its results, such as `tide_level+0.3`, `rainfall*1.2` or `level*0.98-0.1`",
            ),
        }
    }
    problems.none_or(Some(read))
}

/// From the end: a name may have `-` in it.
fn parse(text: &str) -> Option<Adjust> {
    let mut left = text;
    let mut add = None;
    if let Some(at) = left.rfind(['+', '-'])
        && let Some(value) = number(&left[at + 1..])
    {
        add = Some(if left[at..].starts_with('-') { -value } else { value });
        left = &left[..at];
    }
    let mut multiply = None;
    if let Some((name, factor)) = left.rsplit_once('*') {
        multiply = Some(number(factor)?);
        left = name;
    }
    // What is left of signs in another order is no name.
    if left.is_empty() || left.contains(['+', '*']) || (add.is_none() && multiply.is_none()) {
        return None;
    }
    Some(Adjust {
        observed_property: left.into(),
        multiply: Number(multiply.unwrap_or(1.0)),
        add: Number(add.unwrap_or(0.0)),
    })
}

/// Digits, and a point at most: no signs, exponents or names of numbers.
fn number(text: &str) -> Option<f64> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    text.parse().ok().filter(|_| is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_adjustment_is_a_factor_a_summand_or_both() {
        for (text, expected) in [
            ("tide_level+0.3", Some(("tide_level", 1.0, 0.3))),
            ("tide-level-0.25", Some(("tide-level", 1.0, -0.25))),
            ("rainfall*1.2", Some(("rainfall", 1.2, 0.0))),
            ("level*0.98+0.1", Some(("level", 0.98, 0.1))),
            ("level-2*1+0", Some(("level-2", 1.0, 0.0))),
            ("rate_m3/s*2", Some(("rate_m3/s", 2.0, 0.0))),
            ("tide_level", None),
            ("tide-level", None),
            ("+0.3", None),
            ("tide_level+", None),
            ("tide_level+1e3", None),
            ("tide_level*inf", None),
            ("tide_level+0.3*2", None),
            ("", None),
        ] {
            let found = parse(text);
            let found = found
                .as_ref()
                .map(|found| (&*found.observed_property, found.multiply.0, found.add.0));
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn all_that_is_wrong_is_told() {
        let given = ["tide+0.3", "tide", "rain*x"].map(str::to_owned);
        let said = read(&given).unwrap_err().to_string();
        assert!(said.contains("`tide`") && said.contains("`rain*x`"), "{said}");
        assert_eq!(read(&given[..1]).unwrap().len(), 1);
    }
}
