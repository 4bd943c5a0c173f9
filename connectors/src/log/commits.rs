//! What of the output is committed: one small file beside the topics, and a copy of it.
//!
//! `<folder>/<prefix>out.commits` and `<folder>/<prefix>out.commits.copy` have two places of equal size each, written in
//! turn: a torn write leaves the other. A commit is a write to the first file, synced; the copy follows, unsynced. What
//! counts is the place with the greatest number among the four that is whole. So a crash at any byte leaves the last commit
//! or the one before, which nobody was told of, and one file that is lost or damaged takes nothing back.
//!
//! A place holds everything: of each partition its segments in order, each with its offsets, its length and the checksum of its
//! frames ([`Sealed`]). All records of a commit become visible together or not at all; what lies beyond is void; and what
//! is missing or another is found when the output is opened ([`super::guard`]).
//!
//! | bytes | |
//! |---|---|
//! | 8 | number of the commit |
//! | 4 | length of what follows |
//! | 4 | CRC-32 of number and what follows |
//! | … | the offset behind the last record of each partition, bincode |
//! | … | the segments of each partition, bincode |
//! | 4 | their length |
//! | 8 | `rfsegmts` |
//!
//! all little endian. Releases before wrote the offsets only. They read what this one writes, and what they wrote is read here:
//! the segments are then learnt from the files.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use riskflow_config::TopicSettings;
use riskflow_model::progress::Offsets;
use riskflow_model::topic::{Direction, Topic};
use riskflow_model::{Millis, binary};
use serde::{Deserialize, Serialize};
use tracing::warn;

use super::error::LogError;
use super::folder;
use super::handles::{FileId, Found};

/// The least size of a place; it doubles as needed. A thousand partitions fit.
const PLACE: u64 = 64 << 10;

const HEAD: usize = 16;

const MAGIC: &[u8; 8] = b"rfsegmts";

/// A segment as it is committed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sealed {
    /// The offset of its first record.
    pub first: u64,
    /// The offset behind its last record.
    pub end: u64,
    /// Its length. What the file has beyond is void.
    pub bytes: u64,
    /// The chain of its frames ([`super::frame::chain`]).
    pub sum: u64,
    /// The chain of its first frame alone: which segment it is, whatever became of the rest.
    pub head: u64,
    /// Of its last record; of a segment that has none, of the record before it.
    pub arrival: Millis,
    /// The time of the file's last change when its content was last compared with this: as long as nobody changes the file it need
    /// not be read again.
    pub seen: Option<(i64, i64)>,
}

impl Sealed {
    /// Of a segment without records.
    pub const fn begin(first: u64, arrival: Millis) -> Self {
        Self {
            first,
            end: first,
            bytes: 0,
            sum: 0,
            head: 0,
            arrival,
            seen: None,
        }
    }

    /// Goes on behind one more frame: its chain, how many records it stands for, and their arrival.
    pub const fn follow(&mut self, sum: u64, records: u64, arrival: Millis) {
        if self.end == self.first {
            self.head = sum;
        }
        self.sum = sum;
        self.end += records;
        self.arrival = arrival;
    }
}

/// Whether two say the same of what is committed, whenever it was looked at.
pub(super) fn same(a: &Segments, b: &Segments) -> bool {
    let unseen = |sealed: &Sealed| Sealed {
        seen: None,
        ..sealed.clone()
    };
    a.len() == b.len()
        && a.iter().zip(b).all(|((name, one), (other_name, other))| {
            name == other_name && one.iter().map(unseen).eq(other.iter().map(unseen))
        })
}

/// Of each partition that has any, its segments in order.
pub(super) type Segments = BTreeMap<(Topic, u16), Vec<Sealed>>;

/// The offset behind the last committed record of a partition.
pub(super) fn end(segments: &Segments, topic: Topic, partition: u16) -> u64 {
    let last = segments.get(&(topic, partition)).and_then(|segments| segments.last());
    last.map_or(0, |last| last.end)
}

/// What the files say is committed.
#[derive(Debug)]
pub(super) enum Known {
    /// There are no such files.
    Nothing,
    /// There are, and no place of theirs is whole.
    Lost,
    /// So much.
    Segments(Segments),
    /// So much, as releases before wrote it: the offset behind the last record of each partition.
    Ends(Offsets),
}

fn paths(folder: &Path, settings: &TopicSettings) -> [PathBuf; 2] {
    ["out.commits", "out.commits.copy"].map(|name| folder.join(format!("{}{name}", settings.prefix)))
}

/// The first of the two files.
pub(super) fn path(folder: &Path, settings: &TopicSettings) -> PathBuf {
    let [path, _] = paths(folder, settings);
    path
}

/// A place that is whole.
struct Place {
    number: u64,
    content: Vec<u8>,
}

impl Place {
    fn known(&self) -> Known {
        let known = match self.content.strip_suffix(MAGIC) {
            Some(content) => decode(content).map(Known::Segments),
            None => binary::read(&self.content).ok().map(Known::Ends),
        };
        known.unwrap_or(Known::Lost)
    }
}

/// One of the two files: whether it is there, and its newest whole place.
fn newest(path: &Path) -> Result<(bool, Option<Place>), LogError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((false, None)),
        Err(error) => return Err(LogError::io(path)(error)),
    };
    let length = file.metadata().map_err(LogError::io(path))?.len();
    // Releases before did not fill the second place.
    let half = length / 2;
    let size = if half.is_power_of_two() && half >= PLACE {
        half
    } else {
        PLACE
    };
    let mut places = Vec::new();
    for at in [0, size] {
        let mut head = [0; HEAD];
        if read_at(&file, path, &mut head, at)? {
            places.push((u64::from_le_bytes(std::array::from_fn(|byte| head[byte])), at, head));
        }
    }
    places.sort_unstable_by(|a, b| b.cmp(a));
    for (number, at, head) in places {
        let field = |begin: usize| u32::from_le_bytes(std::array::from_fn(|byte| head[begin + byte]));
        let content = u64::from(field(8));
        if content == 0 || content > size - HEAD as u64 {
            continue;
        }
        let mut content = vec![0; content as usize];
        if read_at(&file, path, &mut content, at + HEAD as u64)? && checksum(number, &content) == field(12) {
            return Ok((true, Some(Place { number, content })));
        }
    }
    Ok((true, None))
}

/// Whether the file has that many bytes there.
fn read_at(file: &File, path: &Path, bytes: &mut [u8], at: u64) -> Result<bool, LogError> {
    match file.read_exact_at(bytes, at) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(LogError::io(path)(error)),
    }
}

fn checksum(number: u64, content: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&number.to_le_bytes());
    hasher.update(content);
    hasher.finalize()
}

/// Topics by name: their positions in the catalogue may change.
type Written = Vec<(String, Vec<(u16, Vec<Sealed>)>)>;

fn encode(segments: &Segments) -> Vec<u8> {
    let mut ends = Offsets::default();
    let mut written = Written::new();
    for ((topic, partition), sealed) in segments {
        ends.advance(*topic, *partition, end(segments, *topic, *partition));
        if written.last().is_none_or(|(name, _)| name != topic.name()) {
            written.push((topic.name().to_owned(), Vec::new()));
        }
        if let Some((_, partitions)) = written.last_mut() {
            partitions.push((*partition, sealed.clone()));
        }
    }
    let mut content = Vec::new();
    binary::append(&mut content, &ends).expect("names and numbers have an encoding");
    let begin = content.len();
    binary::append(&mut content, &written).expect("names and numbers have an encoding");
    let length = (content.len() - begin) as u32;
    content.extend_from_slice(&length.to_le_bytes());
    content.extend_from_slice(MAGIC);
    content
}

fn decode(content: &[u8]) -> Option<Segments> {
    let (content, length) = content.split_last_chunk()?;
    let begin = content.len().checked_sub(u32::from_le_bytes(*length) as usize)?;
    let written: Written = binary::read(&content[begin..]).ok()?;
    let mut segments = Segments::new();
    for (name, partitions) in written {
        let topic = Topic::from_name(&name)?;
        segments.extend(partitions.into_iter().map(|(number, sealed)| ((topic, number), sealed)));
    }
    Some(segments)
}

/// How the two files stand.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standing {
    /// Of the last commit.
    number: u64,
    /// Both say the same.
    alike: bool,
    /// A crash may have left them so: the copy is as far as the first file, or one behind.
    sound: bool,
}

/// What is committed, from both files.
pub(super) fn read(folder: &Path, settings: &TopicSettings) -> Result<(Known, Standing), LogError> {
    let [first, copy] = paths(folder, settings);
    let ((first_there, first), (copy_there, copy)) = (newest(&first)?, newest(&copy)?);
    let numbers = [&first, &copy].map(|place| place.as_ref().map_or(0, |place| place.number));
    let standing = Standing {
        number: numbers[0].max(numbers[1]),
        alike: numbers[0] == numbers[1],
        sound: numbers[0].checked_sub(numbers[1]).is_some_and(|behind| behind < 2) && copy.is_some(),
    };
    let known = match if numbers[1] > numbers[0] { copy } else { first } {
        Some(place) => place.known(),
        None if first_there || copy_there => Known::Lost,
        None => Known::Nothing,
    };
    Ok((known, standing))
}

/// Writes commits. Whoever has it holds the locks of all output topics.
pub(super) struct Commits {
    /// The first file and its copy.
    files: [CommitsFile; 2],
    /// The size of a place.
    size: u64,
    number: u64,
    /// As of the last commit.
    pub committed: Segments,
}

struct CommitsFile {
    path: PathBuf,
    /// The open file, and which it is; `None` until it is written anew.
    file: Option<(File, FileId)>,
}

impl Commits {
    /// Begins with what is committed. If that stands in both files (`as_is`), nothing is written: a full disk refuses no start.
    pub fn begin(
        folder: &Path,
        settings: &TopicSettings,
        standing: Standing,
        committed: Segments,
        as_is: bool,
    ) -> Result<Self, LogError> {
        let [first, copy] = paths(folder, settings);
        if standing.number > 0 && !standing.sound {
            warn!(
                file = %first.display(), copy = %copy.display(),
                "of the two files that say what is committed one was gone, damaged or behind: it is written again from the other"
            );
        }
        let mut commits = Self {
            files: [first, copy].map(|path| CommitsFile { path, file: None }),
            size: 0,
            number: standing.number,
            committed: Segments::new(),
        };
        if as_is && standing.alike && commits.adopt()? {
            commits.committed = committed;
        } else {
            commits.size = 0;
            commits.commit(committed)?;
        }
        Ok(commits)
    }

    /// Opens the files that are there. `false` where their places are not of one size.
    fn adopt(&mut self) -> Result<bool, LogError> {
        let mut sizes = Vec::new();
        for CommitsFile { path, file } in &mut self.files {
            let opened = OpenOptions::new()
                .write(true)
                .open(&*path)
                .map_err(LogError::io(path))?;
            let found = Found::of(&opened.metadata().map_err(LogError::io(path))?);
            sizes.push(found.bytes / 2);
            *file = Some((opened, found.id));
        }
        self.size = sizes[0];
        Ok(sizes[0] == sizes[1] && sizes[0].is_power_of_two() && sizes[0] >= PLACE)
    }

    /// Commits these segments. What they stand for must be on disk.
    ///
    /// # Errors
    ///
    /// When that is not on disk; then it is not committed.
    pub fn commit(&mut self, segments: Segments) -> Result<(), LogError> {
        let number = self.number + 1;
        let content = encode(&segments);
        let mut bytes = number.to_le_bytes().to_vec();
        bytes.extend_from_slice(&(content.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&checksum(number, &content).to_le_bytes());
        bytes.extend_from_slice(&content);
        let needed = (bytes.len() as u64).next_power_of_two().max(PLACE);
        if needed > self.size {
            self.size = needed;
            self.files.iter_mut().for_each(|file| file.file = None);
        }
        let [first, copy] = &mut self.files;
        first.write(&bytes, number, self.size)?;
        if let Some((file, _)) = &first.file {
            file.sync_data().map_err(LogError::sync(&first.path))?;
        }
        self.number = number;
        self.committed = segments;
        // It is committed, whatever becomes of the copy.
        if let Err(error) = copy.write(&bytes, number, self.size) {
            let error: &dyn std::error::Error = &error;
            warn!(error, "the copy of what is committed could not be written");
            copy.file = None;
        }
        Ok(())
    }
}

impl CommitsFile {
    fn write(&mut self, bytes: &[u8], number: u64, size: u64) -> Result<(), LogError> {
        let found = Found::at(&self.path).map_err(LogError::io(&self.path))?;
        match &self.file {
            Some((file, id)) if found.is_some_and(|found| found.id == *id) => file
                .write_all_at(bytes, number % 2 * size)
                .map_err(LogError::io(&self.path)),
            Some(_) => {
                warn!(file = %self.path.display(), "was removed or exchanged while the job runs; it is written again");
                self.anew(bytes, number, size)
            }
            None => self.anew(bytes, number, size),
        }
    }

    /// Writes a file with this place to the side, whole and with all its blocks, and gives it its name.
    fn anew(&mut self, bytes: &[u8], number: u64, size: u64) -> Result<(), LogError> {
        self.file = None;
        let mut side = self.path.clone().into_os_string();
        side.push(".new");
        let side = PathBuf::from(side);
        let file = OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .open(&side)
            .map_err(LogError::io(&side))?;
        file.write_all_at(&vec![0; size as usize * 2], 0)
            .and_then(|()| file.write_all_at(bytes, number % 2 * size))
            .map_err(LogError::io(&side))?;
        file.sync_all().map_err(LogError::sync(&side))?;
        fs::rename(&side, &self.path).map_err(LogError::io(&self.path))?;
        folder::sync(self.path.parent().unwrap_or(Path::new(".")))?;
        let id = Found::of(&file.metadata().map_err(LogError::io(&self.path))?).id;
        self.file = Some((file, id));
        Ok(())
    }
}

/// Keeps readers of output topics before what is not committed.
pub(super) struct Fence {
    folder: PathBuf,
    settings: TopicSettings,
    ends: Offsets,
}

impl Fence {
    pub fn new(folder: &Path, settings: &TopicSettings) -> Self {
        Self {
            folder: folder.to_owned(),
            settings: settings.clone(),
            ends: Offsets::default(),
        }
    }

    /// Looks how far things are now. `records`: whether the topics hold any.
    ///
    /// # Errors
    ///
    /// When there are records, and nothing says how far they are committed.
    pub fn look(&mut self, records: impl Fn() -> Result<bool, LogError>) -> Result<(), LogError> {
        let (known, _) = read(&self.folder, &self.settings)?;
        match known {
            Known::Segments(segments) => {
                for (topic, partition) in segments.keys() {
                    self.ends
                        .advance(*topic, *partition, end(&segments, *topic, *partition));
                }
            }
            Known::Ends(ends) => self.ends.merge(&ends),
            Known::Nothing | Known::Lost if records()? => {
                let path = path(&self.folder, &self.settings);
                return Err(LogError::CommitsLost { path });
            }
            Known::Nothing | Known::Lost => {}
        }
        Ok(())
    }

    /// The offset behind the last committed record; input topics have no such end.
    pub fn end(&self, topic: Topic, partition: u16) -> u64 {
        match topic.direction() {
            Direction::In => u64::MAX,
            Direction::Out => self.ends.next(topic, partition),
        }
    }
}
