//! Names that are near to one that is not there.

/// The nearest of all that were seen.
pub struct Near {
    wanted: String,
    /// The best first.
    found: Vec<(f64, String)>,
}

/// So many are named.
const MOST: usize = 5;

/// What is shorter is within too many names to say anything.
const SHORT: usize = 3;

/// As near as this at least, of 1 for equal names.
const LEAST: f64 = 0.8;

impl Near {
    /// What was asked for.
    pub fn to(wanted: &str) -> Self {
        Self {
            wanted: wanted.to_lowercase(),
            found: Vec::new(),
        }
    }

    /// Looks at an identifier, and at what people call it.
    pub fn see(&mut self, id: &str, name: &str) {
        let nearness = self.nearness(id).max(self.nearness(name));
        let worse = |(known, other): &(f64, String)| *known > nearness || *known == nearness && other.as_str() < id;
        let place = self.found.iter().take_while(|found| worse(found)).count();
        if nearness < LEAST || place == MOST || self.found.iter().any(|(_, known)| known == id) {
            return;
        }
        self.found.insert(place, (nearness, id.to_owned()));
        self.found.truncate(MOST);
    }

    fn nearness(&self, name: &str) -> f64 {
        let name = name.to_lowercase();
        let within = |part: &str, whole: &str| part.len() >= SHORT && whole.contains(part);
        if within(&self.wanted, &name) || within(&name, &self.wanted) {
            return 1.0;
        }
        strsim::jaro_winkler(&self.wanted, &name)
    }

    /// In words: a sentence with what there is, or nothing.
    pub fn said(&self) -> String {
        let names: Vec<String> = self.found.iter().map(|(_, name)| format!("`{name}`")).collect();
        match names.as_slice() {
            [] => String::new(),
            names => format!("; there is {}", names.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_near_is_named_and_nothing_else() {
        let mut near = Near::to("rain_guage-18");
        for number in 0..100 {
            near.see(&format!("rain_gauge-{number}"), "");
        }
        near.see("river", "River at the weir");
        assert!(
            near.said().starts_with("; there is `rain_gauge-18`, "),
            "{}",
            near.said()
        );
        assert_eq!(near.found.len(), MOST);
        let mut near = Near::to("weir");
        near.see("asset-7", "River at the Weir");
        near.see("asset-8", "Tank");
        assert_eq!(near.said(), "; there is `asset-7`");
        assert_eq!(Near::to("x").said(), "");
    }
}
