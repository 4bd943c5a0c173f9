//! A text in YAML, of which JSON is a part, as JSON, with the line on which everything stands.
//!
//! Scalars are what JSON knows: only numbers that JSON writes are numbers, so `0x10` is a text here and not sixteen.

use std::collections::{BTreeMap, BTreeSet};

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput, Tag};
use serde_json::{Map, Value};

/// So many nodes may come of aliases: a few lines of them can ask for more than there is memory.
const MOST_COPIED: usize = 100_000;
/// So deep may lists and objects lie in one another.
const DEEPEST: usize = 64;

/// Something wrong with a file, and where.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wrong {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong: field, value found, what to give.
    pub says: String,
}

impl Wrong {
    pub fn new(line: usize, says: impl Into<String>) -> Self {
        Self {
            line,
            says: says.into(),
        }
    }
}

/// A file as JSON, and where its parts stand.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Document {
    /// What it says.
    pub value: Value,
    /// By path, such as `tests[0].series[1].values`.
    lines: BTreeMap<String, usize>,
}

impl Document {
    /// Reads a text.
    ///
    /// # Errors
    ///
    /// Where it is no YAML, the first place that is none; where it is, all of which JSON has nothing like.
    pub fn parse(text: &str) -> Result<Self, Vec<Wrong>> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut reader = Reader {
            parser: Parser::new_from_str(text),
            lines: BTreeMap::new(),
            anchors: BTreeMap::new(),
            copied: 0,
            wrong: Vec::new(),
        };
        let value = match reader.document() {
            Ok(value) => value,
            Err(Stop::Scan(error)) => return Err(vec![no_yaml(text, &error)]),
            Err(Stop::Wrong(wrong)) => {
                reader.wrong.push(wrong);
                return Err(reader.wrong);
            }
        };
        if !reader.wrong.is_empty() {
            return Err(reader.wrong);
        }
        Ok(Self {
            value,
            lines: reader.lines,
        })
    }

    /// The line on which something stands; of what is missing, that of the nearest in which it lies.
    pub fn line(&self, path: &str) -> usize {
        let mut path = path;
        loop {
            if let Some(line) = self.lines.get(path) {
                return *line;
            }
            let Some(end) = path.rfind(['.', '[']) else { return 1 };
            path = &path[..end];
        }
    }
}

/// What a scanner says of a text, with the cure for what is got wrong most.
fn no_yaml(text: &str, error: &ScanError) -> Wrong {
    let line = error.marker().line();
    let written = text.lines().nth(line.saturating_sub(1)).unwrap_or_default();
    let operator = [">=", ">"].into_iter().find(|operator| {
        let written_so = format!(": {operator}");
        let mut after = written.split(&written_so).skip(1);
        after.any(|rest| rest.is_empty() || rest.starts_with([' ', ',', '}']))
    });
    let give = match operator {
        Some(operator) => format!("`\"{operator}\"` in quotes: without, YAML takes `>` for the beginning of a text"),
        None if written.contains('\t') => "blanks in place of tabs".to_owned(),
        None => "YAML or JSON".to_owned(),
    };
    let (column, says) = (error.marker().col() + 1, error.info());
    Wrong::new(line, format!("no YAML at column {column}: {says}; give {give}"))
}

/// Why reading ends.
enum Stop {
    Scan(ScanError),
    Wrong(Wrong),
}

impl From<ScanError> for Stop {
    fn from(error: ScanError) -> Self {
        Self::Scan(error)
    }
}

struct Reader<'a> {
    parser: Parser<'a, StrInput<'a>>,
    lines: BTreeMap<String, usize>,
    /// What aliases stand for, and how many nodes that is.
    anchors: BTreeMap<usize, (Value, usize)>,
    copied: usize,
    wrong: Vec<Wrong>,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Span), Stop> {
        Ok(self.parser.next_event().unwrap_or_else(|| {
            let nowhere = Span::default();
            Ok((Event::StreamEnd, nowhere))
        })?)
    }

    fn document(&mut self) -> Result<Value, Stop> {
        let mut value = None;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamEnd => return Ok(value.unwrap_or_default()),
                Event::Nothing | Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd => {}
                _ if value.is_some() => {
                    let says = "a second document begins; give each file one";
                    return Err(Stop::Wrong(Wrong::new(span.start.line(), says)));
                }
                event => {
                    let line = span.start.line();
                    self.lines.insert(String::new(), line);
                    value = Some(self.node(event, line, "", 0)?.0);
                }
            }
        }
    }

    /// A node, and of how many it is made.
    fn node(&mut self, event: Event<'a>, line: usize, path: &str, depth: usize) -> Result<(Value, usize), Stop> {
        if depth > DEEPEST {
            let says = format!("nested too deep; give at most {DEEPEST} levels");
            return Err(Stop::Wrong(Wrong::new(line, says)));
        }
        let (anchor, node) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let is_text = tag.as_deref().is_some_and(is_text);
                self.no_tag(tag.as_deref().filter(|_| !is_text), line);
                let is_plain = style == ScalarStyle::Plain && !is_text;
                let value = if is_plain { scalar(&text) } else { Value::from(&*text) };
                (anchor, (value, 1))
            }
            Event::SequenceStart(anchor, tag) => {
                self.no_tag(tag.as_deref(), line);
                (anchor, self.list(path, depth)?)
            }
            Event::MappingStart(anchor, tag) => {
                self.no_tag(tag.as_deref(), line);
                (anchor, self.object(path, depth)?)
            }
            Event::Alias(anchor) => return self.alias(anchor, line),
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd
            | Event::SequenceEnd
            | Event::MappingEnd => (0, (Value::Null, 1)),
        };
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn list(&mut self, path: &str, depth: usize) -> Result<(Value, usize), Stop> {
        let (mut values, mut nodes) = (Vec::new(), 1);
        loop {
            let (event, span) = self.next()?;
            if event == Event::SequenceEnd {
                return Ok((Value::Array(values), nodes));
            }
            let path = format!("{path}[{}]", values.len());
            let line = span.start.line();
            self.lines.insert(path.clone(), line);
            let (value, made_of) = self.node(event, line, &path, depth + 1)?;
            values.push(value);
            nodes += made_of;
        }
    }

    fn object(&mut self, path: &str, depth: usize) -> Result<(Value, usize), Stop> {
        let (mut fields, mut nodes) = (Map::new(), 1);
        let mut names = BTreeSet::new();
        loop {
            let (event, span) = self.next()?;
            let line = span.start.line();
            let name = match event {
                Event::MappingEnd => return Ok((Value::Object(fields), nodes)),
                Event::Scalar(name, ..) => name.into_owned(),
                _ => {
                    let says = "the name of a field is no text; give a text";
                    return Err(Stop::Wrong(Wrong::new(line, says)));
                }
            };
            let path = match path {
                "" => name.clone(),
                path => format!("{path}.{name}"),
            };
            if !names.insert(name.clone()) {
                self.wrong
                    .push(Wrong::new(line, format!("`{path}` is there twice; give it once")));
            }
            self.lines.insert(path.clone(), line);
            let (event, span) = self.next()?;
            let (value, made_of) = self.node(event, span.start.line(), &path, depth + 1)?;
            fields.insert(name, value);
            nodes += made_of;
        }
    }

    fn alias(&mut self, anchor: usize, line: usize) -> Result<(Value, usize), Stop> {
        let (value, nodes) = self.anchors.get(&anchor).cloned().unwrap_or((Value::Null, 1));
        self.copied += nodes;
        if self.copied > MOST_COPIED {
            let says = format!("aliases stand for more than {MOST_COPIED} values; give fewer");
            return Err(Stop::Wrong(Wrong::new(line, says)));
        }
        Ok((value, nodes))
    }

    fn no_tag(&mut self, tag: Option<&Tag>, line: usize) {
        if let Some(tag) = tag {
            self.wrong.push(Wrong::new(
                line,
                format!("the tag `{tag}` means nothing here; leave it out"),
            ));
        }
    }
}

fn is_text(tag: &Tag) -> bool {
    tag.is_yaml_core_schema() && tag.suffix == "str"
}

/// What a plain scalar is in JSON.
fn scalar(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        _ => {}
    }
    let number = serde_json::from_str::<serde_json::Number>(text);
    number.map_or_else(|_| Value::from(text), Value::Number)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn scalars_are_what_json_knows() {
        let text = "a: 0x10\nb: 0.5\nc: ~\nd: yes\ne: '5'\nf: [1h30m, _, -2+4x3, true, .5]\ng:\nh: !!str 7\ni: 1e3\n";
        let expected = json!({
            "a": "0x10", "b": 0.5, "c": null, "d": "yes", "e": "5", "f": ["1h30m", "_", "-2+4x3", true, ".5"], "g": null,
            "h": "7", "i": 1e3,
        });
        assert_eq!(Document::parse(text).unwrap().value, expected);
        let json = "\u{feff}{\"a\": [1, \"x\"],\n \"b\": {\"c\": null}}";
        assert_eq!(
            Document::parse(json).unwrap().value,
            json!({ "a": [1, "x"], "b": { "c": null } })
        );
        assert_eq!(Document::parse("# nothing\n").unwrap().value, Value::Null);
    }

    #[test]
    fn everything_has_its_line() {
        let text = "a: &a\n  - b: 1\n    c:\n      d: 2\n  - 3\ne: *a\n";
        let document = Document::parse(text).unwrap();
        assert_eq!(document.value["e"], document.value["a"]);
        for (path, line) in [
            ("a", 1),
            ("a[0]", 2),
            ("a[0].c.d", 4),
            ("a[0].c.x.y", 3),
            ("a[1]", 5),
            ("e[0].c", 6),
        ] {
            assert_eq!(document.line(path), line, "{path}");
        }
        assert_eq!(document.line("nothing"), 1);
    }

    #[test]
    fn what_is_no_yaml_is_told_with_its_line_and_the_cure() {
        for (text, line, says) in [
            ("a:\n  op: >=\n  b: 1\n", 2, "`\">=\"` in quotes"),
            ("a: 1\nb: [1\n", 3, "give YAML or JSON"),
            ("a: 1\nb: 2\na: 3\n", 3, "`a` is there twice; give it once"),
            ("a: 1\nb: !thing 2\n", 2, "the tag `!thing` means nothing here"),
            ("a: 1\n---\nb: 1\n", 3, "a second document"),
            ("? [a, b]\n: 1\n", 1, "the name of a field is no text"),
        ] {
            let wrong = Document::parse(text).unwrap_err();
            assert!(
                wrong.len() == 1 && wrong[0].line == line && wrong[0].says.contains(says),
                "{text}: {wrong:?}"
            );
        }
    }

    #[test]
    fn a_few_lines_of_aliases_do_not_fill_the_memory() {
        let mut text = "a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n".to_owned();
        for level in 1..9 {
            let before = format!("*a{}, ", level - 1);
            text.push_str(&format!("a{level}: &a{level} [{}]\n", before.repeat(10)));
        }
        let wrong = Document::parse(&text).unwrap_err();
        assert!(wrong[0].says.contains("aliases"), "{wrong:?}");
        let deep = "[".repeat(100) + &"]".repeat(100);
        assert!(Document::parse(&deep).unwrap_err()[0].says.contains("deep"));
    }
}
