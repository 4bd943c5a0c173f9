use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use riskflow_config::{FileFormat, FileInput, TopicSettings};
use riskflow_model::progress::Offsets;
use riskflow_model::topic::Topic;

use super::envelope::Envelope;
use super::fed::{Fed, Feed, Ready, feed_bytes};
use super::format::format_of;
use super::parquet;
use super::split::{BLOCK_BYTES, SplitFile};
use super::stream::{self, Kind};
use super::table::feed_rows;
use crate::source::{Lane, Standing, poll_lanes};
use crate::{Polled, RawRecord, Share, Source, SourceError, Verdict};

/// Reads a worker's share of history files.
pub struct FileSource {
    files: Vec<FileReader>,
    first: usize,
}

impl FileSource {
    /// Opens this worker's share of these files. Files of topics that are not among `topics` are left out.
    ///
    /// # Errors
    ///
    /// When a file cannot be opened, or its topic is unknown or missing.
    pub fn open(
        files: &[FileInput],
        settings: &TopicSettings,
        topics: &[Topic],
        share: Share,
    ) -> Result<Self, SourceError> {
        let opened = files
            .iter()
            .enumerate()
            .map(|(index, file)| FileReader::open(index, file, settings, topics, share));
        let opened: Vec<Option<FileReader>> = opened.collect::<Result<_, _>>()?;
        Ok(Self {
            files: opened.into_iter().flatten().collect(),
            first: 0,
        })
    }

    /// Begins files with these offsets: what stands before them is read, and not offered. A file that is not named begins with its first
    /// record. The partition of a file is its position among those that were opened, as in [`RawRecord::partition`].
    #[must_use]
    pub fn beginning_with(mut self, from: &Offsets) -> Self {
        for file in &mut self.files {
            let partition = file.partition;
            let named = from.iter().filter(|(_, named, _)| *named == partition);
            file.from = named.map(|(topic, _, next)| (topic, next)).collect();
        }
        self
    }
}

impl Source for FileSource {
    fn poll(&mut self, limit: usize, offer: &mut dyn FnMut(RawRecord<'_>) -> Verdict) -> Result<Polled, SourceError> {
        poll_lanes(&mut self.files, &mut self.first, limit, offer)
    }

    fn caught_up(&self) -> bool {
        self.files.iter().all(|file| file.ended)
    }

    fn lag(&self) -> Vec<(Topic, u16, u64)> {
        Vec::new()
    }
}

enum Content {
    Split(SplitFile),
    Fed {
        fed: Fed,
        /// A file: its thread always comes up with more, so a poll may wait for it as it would for the disk.
        waits: bool,
    },
}

struct FileReader {
    path: PathBuf,
    partition: u16,
    format: FileFormat,
    /// Of its records; of envelopes, of what is none.
    topic: Topic,
    /// Records of other topics are passed over.
    topics: Vec<Topic>,
    /// Whether it offers lines that are no envelopes. A file of envelopes may be read by several sources, each for its topics: these lines
    /// are of none, and one source alone may offer them.
    strays: bool,
    prefix: String,
    content: Content,
    /// The offsets that records of some topics begin with; of others with the first.
    from: Vec<(Topic, u64)>,
    /// How many rows came before.
    row: u64,
    ended: bool,
}

impl FileReader {
    fn open(
        index: usize,
        file: &FileInput,
        settings: &TopicSettings,
        topics: &[Topic],
        share: Share,
    ) -> Result<Option<Self>, SourceError> {
        let format = format_of(&file.path, file.format);
        let topic = topic_of(file, format)?;
        let Ok(partition) = u16::try_from(index) else {
            return Err(wrong(
                file,
                "files",
                format!("{} or more files", index + 1),
                "at most 65536",
            ));
        };
        if !topics.contains(&topic) && format != FileFormat::Envelope {
            return Ok(None);
        }
        let about = |error| SourceError::File {
            file: file.path.clone(),
            error,
        };
        let kind = Kind::of(&file.path).map_err(about)?;
        if let (Kind::Plain(plain), FileFormat::Ndjson) = (&kind, format)
            && begins_with_envelope(plain, &settings.prefix).map_err(about)?
        {
            let found = "NDJSON, and its first line is an envelope, as `riskflow tail --json` prints them".to_owned();
            return Err(wrong(file, "format", found, "`format = \"envelope\"`"));
        }
        let once = matches!(kind, Kind::Stream { .. });
        let split = format == FileFormat::Ndjson && !once;
        if !split && !share.holds_nth(index) {
            return Ok(None);
        }
        let mut topics = topics.to_vec();
        if once && format == FileFormat::Envelope {
            // Who reads it reads all of it.
            if !topics.contains(&Topic::IN_OBSERVATION) {
                return Ok(None);
            }
            topics = Topic::inputs().collect();
        }
        let strays = topics.contains(&Topic::IN_OBSERVATION);
        let content = open_content(&file.path, kind, format, topic, (index, share)).map_err(about)?;
        Ok(Some(Self {
            path: file.path.clone(),
            partition,
            format,
            topic,
            topics,
            strays,
            prefix: settings.prefix.clone(),
            content,
            from: Vec::new(),
            row: 0,
            ended: false,
        }))
    }

    fn prepare(&mut self) -> io::Result<Ready> {
        match &mut self.content {
            Content::Split(split) => Ok(if split.prepare()? { Ready::Line } else { Ready::End }),
            Content::Fed { fed, waits } => fed.prepare(*waits),
        }
    }

    /// Offers the line that is ready.
    fn offer(&mut self, offer: &mut dyn FnMut(RawRecord<'_>) -> Verdict) -> Option<Verdict> {
        let line = match &mut self.content {
            Content::Split(split) => split.head()?,
            Content::Fed { fed, .. } => fed.head()?,
        };
        let begin_of_file = line.begin == 0;
        let text = if begin_of_file {
            line.text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line.text)
        } else {
            line.text
        };
        let record = RawRecord {
            topic: self.topic,
            partition: self.partition,
            offset: match self.format {
                FileFormat::Csv | FileFormat::Parquet => self.row,
                FileFormat::Ndjson | FileFormat::Envelope => line.begin,
            },
            arrival: None,
            exercise: false,
            key: None,
            payload: Some(text),
        };
        let mut offer = |record: RawRecord<'_>| {
            let is_before = |(topic, first): &(Topic, u64)| *topic == record.topic && record.offset < *first;
            if self.from.iter().any(is_before) {
                Verdict::Taken
            } else {
                offer(record)
            }
        };
        if self.format != FileFormat::Envelope {
            return Some(offer(record));
        }
        let envelope = Envelope::parse(text);
        let Some((envelope, topic)) = envelope.as_ref().and_then(|it| Some((it, it.topic(&self.prefix)?))) else {
            return Some(if self.strays { offer(record) } else { Verdict::Taken });
        };
        if !self.topics.contains(&topic) {
            return Some(Verdict::Taken);
        }
        Some(offer(RawRecord {
            topic,
            arrival: envelope.arrival,
            exercise: envelope.exercise,
            key: envelope.key.as_ref().map(|key| key.as_bytes()),
            payload: envelope.payload(),
            ..record
        }))
    }

    fn advance(&mut self) {
        self.row += 1;
        match &mut self.content {
            Content::Split(split) => split.advance(),
            Content::Fed { fed, .. } => fed.advance(),
        }
    }
}

impl Lane for FileReader {
    fn drain(
        &mut self,
        left: &mut usize,
        offer: &mut dyn FnMut(RawRecord<'_>) -> Verdict,
    ) -> Result<Standing, SourceError> {
        loop {
            if *left == 0 {
                return Ok(Standing::Full);
            }
            if self.ended {
                return Ok(Standing::Ended);
            }
            match self.prepare() {
                Ok(Ready::Line) => {}
                Ok(Ready::Nothing) => return Ok(Standing::Idle),
                Ok(Ready::End) => {
                    self.ended = true;
                    continue;
                }
                Err(error) => {
                    return Err(SourceError::File {
                        file: self.path.clone(),
                        error,
                    });
                }
            }
            if self.offer(offer) == Some(Verdict::NotYet) {
                return Ok(Standing::Blocked);
            }
            *left -= 1;
            self.advance();
        }
    }
}

/// A first line is looked at if it has at most so many bytes.
const HEAD: usize = 64 << 10;

/// Whether the first line of a file is an envelope: taken for rows of one topic, all of its lines would be refused for fields that they
/// have inside.
fn begins_with_envelope(file: &File, prefix: &str) -> io::Result<bool> {
    let mut head = vec![0; HEAD];
    let read = file.read_at(&mut head, 0)?;
    let head = &head[..read];
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    let line = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
    Ok(Envelope::parse(line).is_some_and(|envelope| envelope.topic(prefix).is_some()))
}

fn topic_of(file: &FileInput, format: FileFormat) -> Result<Topic, SourceError> {
    const GIVE: &str = "a topic that riskflow reads, such as `in.observation`";
    match &file.topic {
        Some(name) => Topic::from_name(name).ok_or_else(|| wrong(file, "topic", format!("`{name}`"), GIVE)),
        None if format == FileFormat::Envelope => Ok(Topic::IN_OBSERVATION),
        None => Err(wrong(file, "topic", "missing".to_owned(), GIVE)),
    }
}

fn wrong(file: &FileInput, field: &'static str, found: String, give: &'static str) -> SourceError {
    SourceError::FileInput {
        file: file.path.clone(),
        field,
        found,
        give,
    }
}

fn open_content(
    path: &Path,
    kind: Kind,
    format: FileFormat,
    topic: Topic,
    (index, share): (usize, Share),
) -> io::Result<Content> {
    let path = path.to_owned();
    match (kind, format) {
        (Kind::Plain(file), FileFormat::Ndjson) => {
            // Small files begin with different workers.
            let first = (share.index + share.peers - index % share.peers) % share.peers;
            Ok(Content::Split(SplitFile::new(file, first, share.peers, BLOCK_BYTES)?))
        }
        (Kind::Plain(file), FileFormat::Parquet) => {
            let fed = Fed::start("file", move |feed| parquet::feed_rows(file, topic, &feed))?;
            Ok(Content::Fed { fed, waits: true })
        }
        (Kind::Plain(file), _) => {
            let fed = Fed::start("file", move |feed| feed_as(format, topic, file, &feed))?;
            Ok(Content::Fed { fed, waits: true })
        }
        (Kind::Stream { .. }, FileFormat::Parquet) => Err(parquet::once()),
        (Kind::Stream { waits }, _) => {
            let fed = Fed::start("stream", move |feed| match stream::open(&path) {
                Ok(from) => feed_as(format, topic, from, &feed),
                // The source is gone: nobody wants to know.
                Err(error) => drop(feed.send(Err(error))),
            })?;
            Ok(Content::Fed { fed, waits })
        }
    }
}

fn feed_as(format: FileFormat, topic: Topic, from: impl Read, feed: &Feed) {
    match format {
        FileFormat::Csv => feed_rows(from, topic, feed),
        FileFormat::Ndjson | FileFormat::Envelope => feed_bytes(from, feed),
        // It was opened in another way.
        FileFormat::Parquet => drop(feed.send(Err(parquet::once()))),
    }
}
