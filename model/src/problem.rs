use std::fmt;

use serde::Serialize;

/// One thing wrong with what was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Where: a path such as `levels.blue.when.any[1].window`.
    pub field: String,
    /// What stands there.
    pub found: String,
    /// What to give instead.
    pub give: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is {}; give {}", self.field, self.found, self.give)
    }
}

/// Everything wrong with what was written; never empty as an error.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// Notes one.
    pub fn add(&mut self, field: impl Into<String>, found: impl fmt::Display, give: impl Into<String>) {
        self.push(Problem {
            field: field.into(),
            found: found.to_string(),
            give: give.into(),
        });
    }

    /// Notes one. What would move a terminal is shown as its number.
    pub fn push(&mut self, problem: Problem) {
        self.0.push(Problem {
            field: visible(problem.field),
            found: visible(problem.found),
            give: problem.give,
        });
    }

    /// Adds those of a part that stands at `path`.
    pub fn add_all(&mut self, path: &str, part: Self) {
        self.0.extend(part.0.into_iter().map(|problem| Problem {
            field: format!("{path}.{}", problem.field),
            ..problem
        }));
    }

    /// Adds those of fields of which nothing was said yet, nor of what stands in them.
    pub fn add_new(&mut self, others: Self) {
        for problem in others.0 {
            let told = |told: &Problem| {
                let rest = told.field.strip_prefix(&problem.field);
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
            };
            if !self.0.iter().any(told) {
                self.push(problem);
            }
        }
    }

    /// Of those found since there were `before`, takes those of a field away that was complained of already.
    pub fn keep_first(&mut self, before: usize, field: &str) {
        if self.0.iter().take(before).any(|problem| problem.field == field) {
            self.0.truncate(before);
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes those found since there were `before` away: they were complained of already.
    pub fn truncate(&mut self, before: usize) {
        self.0.truncate(before);
    }

    /// All of them, in the order in which they were found.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }

    /// `value` if there are none.
    ///
    /// # Errors
    ///
    /// All of them, if there are any.
    pub fn none_or<T>(self, value: Option<T>) -> Result<T, Self> {
        match value {
            Some(value) if self.0.is_empty() => Ok(value),
            _ => Err(self),
        }
    }
}

/// Ends of lines stay: what a parser says may have several.
fn visible(text: String) -> String {
    let moves = |char: char| char.is_control() && char != '\n';
    if !text.contains(moves) {
        return text;
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for char in text.chars() {
        if moves(char) {
            shown.extend(char.escape_unicode());
        } else {
            shown.push(char);
        }
    }
    shown
}

/// One problem a line.
impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}
