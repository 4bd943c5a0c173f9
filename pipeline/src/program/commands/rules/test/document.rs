//! A text in YAML, of which JSON is a part, as JSON, with the line on which everything stands.
//!
//! Scalars are what JSON knows: only numbers that JSON writes are numbers, so `0x10` is a text here and not sixteen.

use std::collections::BTreeMap;
use std::ops::AddAssign;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput, Tag};
use serde_json::{Map, Value};

/// So many values may a file have. What an anchor names counts twice, and so does what an alias repeats: a few lines of aliases can ask
/// for more than there is memory.
const MOST_VALUES: usize = 500_000;
/// So many bytes may its texts and the names of its fields have together, counted likewise.
const MOST_TEXT: usize = 32 << 20;
/// So deep may lists and objects lie in one another.
const DEEPEST: usize = 64;
/// So long may the name of a field be, in bytes: the places of all that lies in it are told with it.
const LONGEST_NAME: usize = 1_000;
/// So many problems are told of a text.
const MOST_TOLD: usize = 100;

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
    root: Place,
}

/// Where a value stands. Places lie in one another as the values do.
#[derive(Clone, Debug, Default, PartialEq)]
struct Place {
    line: usize,
    within: Within,
}

/// The places of what lies in a value; of an alias none.
#[derive(Clone, Debug, Default, PartialEq)]
enum Within {
    #[default]
    Nothing,
    List(Vec<Place>),
    Fields(BTreeMap<String, Place>),
}

impl Place {
    /// The place with which a path goes on, such as `[0].series[1]`, and the rest of the path.
    fn step<'p>(&self, path: &'p str) -> Option<(&Self, &'p str)> {
        match &self.within {
            Within::Nothing => None,
            Within::List(places) => {
                let (index, rest) = path.strip_prefix('[')?.split_once(']')?;
                let place = places.get(index.parse::<usize>().ok()?)?;
                Some((place, rest))
            }
            Within::Fields(fields) => {
                let path = path.strip_prefix('.').unwrap_or(path);
                let ends = path.match_indices(['.', '[']).map(|(at, _)| at);
                // There may be dots in a name.
                let ends: Vec<usize> = ends.chain([path.len()]).collect();
                let mut longest = ends.into_iter().rev();
                longest.find_map(|end| Some((fields.get(&path[..end])?, &path[end..])))
            }
        }
    }
}

impl Document {
    /// Reads a text.
    ///
    /// # Errors
    ///
    /// Where it is no YAML, the first place that is none; where it is, all of which JSON has nothing like, and what is too much.
    pub fn parse(text: &str) -> Result<Self, Vec<Wrong>> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut reader = Reader {
            parser: Parser::new_from_str(text),
            anchors: BTreeMap::new(),
            taken: Size::default(),
            wrong: Vec::new(),
        };
        let document = match reader.document() {
            Ok(document) => document,
            Err(Stop::Scan(error)) => return Err(vec![no_yaml(text, &error)]),
            Err(Stop::Wrong(wrong)) => {
                reader.wrong.push(wrong);
                return Err(reader.wrong);
            }
        };
        if reader.wrong.is_empty() {
            Ok(document)
        } else {
            Err(reader.wrong)
        }
    }

    /// The line on which something stands; of what is missing, that of the nearest in which it lies.
    pub fn line(&self, path: &str) -> usize {
        let (mut place, mut rest) = (&self.root, path);
        while !rest.is_empty()
            && let Some((next, behind)) = place.step(rest)
        {
            (place, rest) = (next, behind);
        }
        place.line.max(1)
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

/// How large a node is, with all that lies in it.
#[derive(Clone, Copy, Debug, Default)]
struct Size {
    values: usize,
    /// Of texts and names.
    bytes: usize,
    /// How deep it goes down from the node.
    height: usize,
}

impl Size {
    const ONE: Self = Self {
        values: 1,
        bytes: 0,
        height: 0,
    };

    const fn of_text(bytes: usize) -> Self {
        Self { bytes, ..Self::ONE }
    }

    /// Takes up what lies in it.
    fn hold(&mut self, within: Self) {
        let height = self.height.max(within.height + 1);
        *self += within;
        self.height = height;
    }
}

impl AddAssign for Size {
    fn add_assign(&mut self, other: Self) {
        self.values += other.values;
        self.bytes += other.bytes;
    }
}

/// A node as it was read.
struct Node {
    value: Value,
    within: Within,
    size: Size,
}

struct Reader<'a> {
    parser: Parser<'a, StrInput<'a>>,
    /// What aliases stand for.
    anchors: BTreeMap<usize, (Value, Size)>,
    /// All that was read or copied so far.
    taken: Size,
    wrong: Vec<Wrong>,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Span), Stop> {
        Ok(self.parser.next_event().unwrap_or_else(|| {
            let nowhere = Span::default();
            Ok((Event::StreamEnd, nowhere))
        })?)
    }

    fn document(&mut self) -> Result<Document, Stop> {
        let mut document = None;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamEnd => return Ok(document.unwrap_or_default()),
                Event::Nothing | Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd => {}
                _ if document.is_some() => {
                    let says = "a second document begins; give each file one";
                    return Err(Stop::Wrong(Wrong::new(span.start.line(), says)));
                }
                event => {
                    let line = span.start.line();
                    let Node { value, within, .. } = self.node(event, line, 0)?;
                    let root = Place { line, within };
                    document = Some(Document { value, root });
                }
            }
        }
    }

    /// Counts what is read or copied; a text that asks for too much is read no further.
    fn take(&mut self, size: Size, line: usize) -> Result<(), Stop> {
        self.taken += size;
        let limit = if self.taken.values > MOST_VALUES {
            format!("more than {MOST_VALUES} values")
        } else if self.taken.bytes > MOST_TEXT {
            format!("more than {} MiB of text", MOST_TEXT >> 20)
        } else {
            return Ok(());
        };
        let says = format!("{limit} up to here, with all that aliases repeat; give fewer, or divide the file");
        Err(Stop::Wrong(Wrong::new(line, says)))
    }

    fn node(&mut self, event: Event<'a>, line: usize, depth: usize) -> Result<Node, Stop> {
        not_too_deep(depth, line)?;
        let (anchor, node) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let is_text = tag.as_deref().is_some_and(is_text);
                self.no_tag(tag.as_deref().filter(|_| !is_text), line);
                let is_plain = style == ScalarStyle::Plain && !is_text;
                let value = if is_plain { scalar(&text) } else { Value::from(&*text) };
                let (within, size) = (Within::Nothing, Size::of_text(text.len()));
                self.take(size, line)?;
                (anchor, Node { value, within, size })
            }
            Event::SequenceStart(anchor, tag) => {
                self.no_tag(tag.as_deref(), line);
                self.take(Size::ONE, line)?;
                (anchor, self.list(depth)?)
            }
            Event::MappingStart(anchor, tag) => {
                self.no_tag(tag.as_deref(), line);
                self.take(Size::ONE, line)?;
                (anchor, self.object(depth)?)
            }
            Event::Alias(anchor) => return self.alias(anchor, line, depth),
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd
            | Event::SequenceEnd
            | Event::MappingEnd => {
                self.take(Size::ONE, line)?;
                let (value, within, size) = (Value::Null, Within::Nothing, Size::ONE);
                (0, Node { value, within, size })
            }
        };
        if anchor > 0 {
            self.take(node.size, line)?;
            self.anchors.insert(anchor, (node.value.clone(), node.size));
        }
        Ok(node)
    }

    fn list(&mut self, depth: usize) -> Result<Node, Stop> {
        let (mut values, mut places, mut size) = (Vec::new(), Vec::new(), Size::ONE);
        loop {
            let (event, span) = self.next()?;
            if event == Event::SequenceEnd {
                let (value, within) = (Value::Array(values), Within::List(places));
                return Ok(Node { value, within, size });
            }
            let line = span.start.line();
            let node = self.node(event, line, depth + 1)?;
            size.hold(node.size);
            values.push(node.value);
            places.push(Place {
                line,
                within: node.within,
            });
        }
    }

    fn object(&mut self, depth: usize) -> Result<Node, Stop> {
        let (mut fields, mut places, mut size) = (Map::new(), BTreeMap::new(), Size::ONE);
        loop {
            let (event, span) = self.next()?;
            let line = span.start.line();
            let name = match event {
                Event::MappingEnd => {
                    let (value, within) = (Value::Object(fields), Within::Fields(places));
                    return Ok(Node { value, within, size });
                }
                Event::Scalar(name, ..) => name.into_owned(),
                _ => {
                    let says = "the name of a field is no text; give a text";
                    return Err(Stop::Wrong(Wrong::new(line, says)));
                }
            };
            if name.len() > LONGEST_NAME {
                let says = format!("the name of a field is too long; give at most {LONGEST_NAME} bytes");
                return Err(Stop::Wrong(Wrong::new(line, says)));
            }
            if places.contains_key(&name) {
                self.note(line, format!("`{name}` is there twice; give it once"));
            }
            let of_name = Size {
                bytes: name.len(),
                ..Size::default()
            };
            self.take(of_name, line)?;
            size += of_name;
            let (event, span) = self.next()?;
            let node = self.node(event, span.start.line(), depth + 1)?;
            size.hold(node.size);
            fields.insert(name.clone(), node.value);
            let within = node.within;
            places.insert(name, Place { line, within });
        }
    }

    fn alias(&mut self, anchor: usize, line: usize, depth: usize) -> Result<Node, Stop> {
        let size = self.anchors.get(&anchor).map_or(Size::ONE, |(_, size)| *size);
        // Before it is copied.
        self.take(size, line)?;
        not_too_deep(depth + size.height, line)?;
        let value = self.anchors.get(&anchor).map(|(value, _)| value.clone());
        Ok(Node {
            value: value.unwrap_or_default(),
            within: Within::Nothing,
            size,
        })
    }

    fn note(&mut self, line: usize, says: String) {
        if self.wrong.len() < MOST_TOLD {
            self.wrong.push(Wrong::new(line, says));
        }
    }

    fn no_tag(&mut self, tag: Option<&Tag>, line: usize) {
        if let Some(tag) = tag {
            self.note(line, format!("the tag `{tag}` means nothing here; leave it out"));
        }
    }
}

fn not_too_deep(depth: usize, line: usize) -> Result<(), Stop> {
    if depth <= DEEPEST {
        return Ok(());
    }
    let says = format!("nested too deep; give at most {DEEPEST} levels, with those of aliases");
    Err(Stop::Wrong(Wrong::new(line, says)))
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

    /// The only thing that is wrong with a text.
    fn too_much(text: &str) -> Wrong {
        let mut wrong = Document::parse(text).unwrap_err();
        assert_eq!(wrong.len(), 1, "{wrong:?}");
        wrong.remove(0)
    }

    #[test]
    fn a_few_lines_of_aliases_do_not_fill_the_memory() {
        let mut text = "a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n".to_owned();
        for level in 1..9 {
            let before = format!("*a{}, ", level - 1);
            text.push_str(&format!("a{level}: &a{level} [{}]\n", before.repeat(10)));
        }
        let wrong = too_much(&text);
        assert!(
            wrong.says.starts_with("more than 500000 values") && wrong.line == 6,
            "{wrong:?}"
        );
        // Few values, each of them long.
        let long = format!("a: &a {}\nb: [{}]\n", "x".repeat(1 << 20), "*a, ".repeat(40));
        let wrong = too_much(&long);
        assert!(
            wrong.says.starts_with("more than 32 MiB of text") && wrong.line == 2,
            "{wrong:?}"
        );
        // Anchors in one another: each of them is a copy of all that lies in it.
        let anchors: String = (0..60).map(|level| format!("&n{level} [")).collect();
        let nested = format!("{anchors}{}{}", "1, ".repeat(20_000), "]".repeat(60));
        assert!(too_much(&nested).says.starts_with("more than 500000 values"));
    }

    #[test]
    fn what_lies_too_deep_is_refused_however_it_comes_there() {
        let deep = "[".repeat(100) + &"]".repeat(100);
        assert!(too_much(&deep).says.contains("nested too deep; give at most 64 levels"));
        let mut text = "a0: &a0 1\n".to_owned();
        for level in 1..4 {
            let (open, close) = ("[".repeat(40), "]".repeat(40));
            text.push_str(&format!("a{level}: &a{level} {open}*a{}{close}\n", level - 1));
        }
        let wrong = too_much(&text);
        assert!(
            wrong.says.contains("with those of aliases") && wrong.line == 3,
            "{wrong:?}"
        );
        let name = "n".repeat(2_000);
        let wrong = too_much(&format!("? {name}\n: 1\n"));
        assert!(wrong.says.contains("give at most 1000 bytes"), "{wrong:?}");
    }

    #[test]
    fn a_place_costs_no_path() {
        // Each value would have the names above it in its path: 60 times 900 bytes, 100,000 times.
        let name = "n".repeat(900);
        let open: String = (0..60).map(|_| format!("{{{name}: ")).collect();
        let text = format!("{open}[{}]{}", "1, ".repeat(100_000), "}".repeat(60));
        let document = Document::parse(&text).unwrap();
        let path = vec![name.as_str(); 60].join(".");
        assert_eq!(document.line(&format!("{path}[99999]")), 1);
        let settings = Document::parse("settings:\n  time.horizon: 2h\n  time:\n    retain: 3h\n").unwrap();
        assert_eq!(settings.line("settings.time.horizon"), 2);
        assert_eq!(settings.line("settings.time.retain"), 4);
        assert_eq!(settings.line("settings.time.other"), 3);
    }
}
