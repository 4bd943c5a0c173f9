//! The recovery protocol without a broker: the real code that commits, records progress and resumes, against a model of a
//! log with transactions. It crashes at every step there is, and at several steps in a row.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use riskflow::runtime::metrics::Metrics;
use riskflow::runtime::output::EpochOutput;
use riskflow::runtime::publisher::{Closing, Completed, Publishing, Shared};
use riskflow::runtime::recovery::{Recovery, semantics_of};
use riskflow::runtime::views::Views;
use riskflow_config::{Settings, WrittenSettings};
use riskflow_connectors::checkpoint::{FORMAT, Manifest};
use riskflow_connectors::{EpochRecords, OutRecord, Published, Resume, Sink, SinkError, content};
use riskflow_model::output::{AssetRisk, DeadLetter, PayloadEncoding, Reason};
use riskflow_model::progress::{Offsets, Progress};
use riskflow_model::topic::Topic;
use riskflow_model::{Domain, InherentLevel, Level, Millis, OutputRow};
use riskflow_tests::history::Draw;

const PARTITIONS: u16 = 2;
/// Records in each partition of the input.
const RECORDS: u64 = 24;
const KEEP: usize = 2;

/// What outlives a crash.
#[derive(Default)]
struct World {
    /// Committed records of all output topics, in order.
    log: Vec<OutRecord>,
    checkpoints: BTreeMap<Millis, (Manifest, State)>,
    /// Steps until the next crash; `None`: no more.
    countdown: Option<u64>,
    crashed: bool,
    steps: u64,
}

impl World {
    /// A step at which a process may die. Once it died it does nothing more.
    fn lives(&mut self) -> bool {
        self.steps += 1;
        if self.countdown == Some(0) {
            self.crashed = true;
            self.countdown = None;
        } else if let Some(left) = &mut self.countdown {
            *left -= 1;
        }
        !self.crashed
    }

    fn table(&self, topic: Topic) -> BTreeMap<String, Vec<u8>> {
        let mut table = BTreeMap::new();
        for record in self.log.iter().filter(|record| record.topic == topic) {
            match &record.payload {
                Some(payload) => table.insert(record.key.clone(), payload.clone()),
                None => table.remove(&record.key),
            };
        }
        table
    }

    fn published(&self) -> Published {
        let rows = Topic::output_tables().flat_map(|topic| self.table(topic).into_iter().map(move |row| (topic, row)));
        rows.map(|(topic, (key, payload))| ((topic, key), content(&payload)))
            .collect()
    }
}

/// Commits whole or not at all; the process may die before and after.
struct ModelSink(Arc<Mutex<World>>);

impl Sink for ModelSink {
    fn commit(&mut self, epochs: &[EpochRecords]) -> Result<(), SinkError> {
        let mut world = self.0.lock().unwrap();
        let died = || SinkError::File {
            file: "model".into(),
            error: std::io::Error::other("died"),
        };
        if !world.lives() {
            return Err(died());
        }
        let records = epochs.iter().flat_map(|epoch| epoch.records.iter().cloned());
        world.log.extend(records);
        if world.lives() { Ok(()) } else { Err(died()) }
    }
}

/// A dataflow that counts: a row for each partition, a dead letter for every third record.
#[derive(Clone, Default)]
struct State {
    taken: [u64; PARTITIONS as usize],
}

impl State {
    fn row(&self, partition: u16) -> Option<AssetRisk> {
        let count = self.taken[usize::from(partition)];
        (count > 0).then(|| AssetRisk {
            asset: format!("partition {partition}").into(),
            name: "".into(),
            category: "model".into(),
            domain: Domain::WorkSafety,
            region: "330902001001".parse().unwrap(),
            inherent_level: InherentLevel::new(1).unwrap(),
            dynamic_level: Level::None,
            score: 0,
            level: Level::None,
            stale: false,
            population: count as u32,
        })
    }

    /// What the views give in the first epoch after a load.
    fn recall(&self, epoch: Millis) -> EpochOutput {
        let rows = (0..PARTITIONS).filter_map(|partition| self.row(partition));
        EpochOutput::new(epoch, rows.map(|row| (OutputRow::new(row), 1)).collect())
    }

    /// Takes records up to these offsets.
    fn epoch(&mut self, epoch: Millis, bound: &Offsets) -> EpochOutput {
        let mut output = EpochOutput::new(epoch, Vec::new());
        for partition in 0..PARTITIONS {
            let (first, next) = (
                self.taken[usize::from(partition)],
                bound.next(Topic::IN_OBSERVATION, partition),
            );
            if next <= first {
                continue;
            }
            let before = self.row(partition);
            self.taken[usize::from(partition)] = next;
            before.into_iter().for_each(|row| output.push(row, -1));
            self.row(partition).into_iter().for_each(|row| output.push(row, 1));
            let bad = (first..next).filter(|offset| offset % 3 == 0);
            bad.for_each(|offset| output.push(letter(partition, offset), 1));
            output.offsets.advance(Topic::IN_OBSERVATION, partition, next);
        }
        output
    }
}

fn letter(partition: u16, offset: u64) -> DeadLetter {
    DeadLetter {
        reason: Reason::Malformed,
        detail: "".into(),
        topic: Topic::IN_OBSERVATION.name().into(),
        partition: partition.into(),
        offset,
        payload: "".into(),
        encoding: PayloadEncoding::Utf8,
        payload_bytes: 0,
        payload_cut: false,
    }
}

struct Simulation {
    world: Arc<Mutex<World>>,
    settings: Settings,
    metrics: Arc<Metrics>,
    draw: Draw,
    clock: i64,
}

impl Simulation {
    /// One life of the process; `true` if it got through its input.
    fn live(&mut self) -> bool {
        self.world.lock().unwrap().crashed = false;
        let (recovery, mut state) = self.recover();
        let shared = Shared::default();
        let saved: Arc<Mutex<BTreeMap<Millis, State>>> = Arc::default();
        let committed = self.committed(Arc::clone(&saved), shared.clone());
        let about = (Arc::<Views>::default(), Arc::clone(&self.metrics), shared);
        let sink = Box::new(ModelSink(Arc::clone(&self.world)));
        let mut publishing = Publishing::new(sink, recovery.beginning.clone(), about, None, committed);
        let plan = recovery.plan;
        let mut outputs = Vec::new();
        outputs.extend(plan.restored.map(|moment| state.recall(Millis(moment.clock))));
        let recorded = plan.cold.into_iter().chain(plan.recorded);
        outputs.extend(recorded.map(|(moment, bound)| state.epoch(Millis(moment.clock), &bound)));
        for output in outputs {
            if publishing.publish(vec![completed(output, false)]).is_err() {
                return false;
            }
        }
        while state.taken.iter().any(|taken| *taken < RECORDS) {
            let mut batch = Vec::new();
            for _ in 0..=self.draw.below(3) {
                self.clock += 1 + self.draw.below(50) as i64;
                let mut bound = Offsets::default();
                for partition in 0..PARTITIONS {
                    let next = state.taken[usize::from(partition)] + self.draw.below(4);
                    bound.advance(Topic::IN_OBSERVATION, partition, next.min(RECORDS));
                }
                let output = state.epoch(Millis(self.clock), &bound);
                let checkpoint = self.draw.once_in(3);
                if checkpoint {
                    saved.lock().unwrap().insert(output.epoch, state.clone());
                }
                batch.push(completed(output, checkpoint));
            }
            if publishing.publish(batch).is_err() || self.world.lock().unwrap().crashed {
                return false;
            }
        }
        true
    }

    fn recover(&self) -> (Recovery, State) {
        let world = self.world.lock().unwrap();
        let resume = Resume::of(world.table(Topic::PROGRESS)).unwrap();
        let fits = |(manifest, _): &&(Manifest, State)| {
            resume.offsets_after(manifest.epoch).as_ref() == Some(&manifest.offsets)
        };
        let checkpoint = world.checkpoints.values().rev().find(fits);
        let manifest = checkpoint.map(|(manifest, _)| manifest.clone());
        let mut recovery = Recovery::from(&resume, manifest, &self.settings);
        recovery.beginning.definite = true;
        recovery.beginning.published = Some(world.published()).filter(|_| recovery.start.checkpoint.is_none());
        (recovery, checkpoint.map(|(_, state)| state.clone()).unwrap_or_default())
    }

    /// Writes the manifest, lets old checkpoints go, and tells which is the oldest; the process may die between.
    fn committed(
        &self,
        saved: Arc<Mutex<BTreeMap<Millis, State>>>,
        shared: Shared,
    ) -> riskflow::runtime::publisher::Committed {
        let (world, semantics) = (Arc::clone(&self.world), semantics_of(&self.settings));
        Box::new(move |epoch, clock, offsets| {
            let mut world = world.lock().unwrap();
            let state = saved.lock().unwrap()[&epoch].clone();
            let manifest = Manifest {
                format: FORMAT,
                job: None,
                epoch,
                clock,
                offsets,
                semantics: semantics.clone(),
                version: env!("CARGO_PKG_VERSION").into(),
                folds: BTreeMap::new(),
                off: BTreeSet::new(),
                parts: Vec::new(),
            };
            if !world.lives() {
                return;
            }
            world.checkpoints.insert(epoch, (manifest, state));
            while world.lives() && world.checkpoints.len() > KEEP {
                world.checkpoints.pop_first();
            }
            if world.lives() {
                let oldest = world.checkpoints.keys().next().map_or(0, |epoch| epoch.0);
                shared
                    .oldest_checkpoint
                    .store(oldest, std::sync::atomic::Ordering::Release);
            }
        })
    }

    fn judge(&self, what: &str) {
        let world = self.world.lock().unwrap();
        let mut letters: BTreeMap<&str, u64> = BTreeMap::new();
        for record in world.log.iter().filter(|record| record.topic == Topic::DEAD_LETTER) {
            *letters.entry(&record.key).or_default() += 1;
        }
        assert_eq!(
            letters.len() as u64,
            u64::from(PARTITIONS) * RECORDS / 3,
            "{what}: lost"
        );
        assert!(
            letters.values().all(|count| *count == 1),
            "{what}: repeated {letters:?}"
        );
        let rows = world.table(Topic::RISK_ASSET);
        assert_eq!(rows.len(), usize::from(PARTITIONS), "{what}");
        for row in rows.values() {
            let row: AssetRisk = serde_json::from_slice(row).unwrap();
            assert_eq!(u64::from(row.population), RECORDS, "{what}");
        }
        // What is left of the progress is a chain from its base on.
        let resume = Resume::of(world.table(Topic::PROGRESS)).unwrap();
        let end = resume.offsets_after(resume.last()).unwrap();
        assert!(
            (0..PARTITIONS).all(|partition| end.next(Topic::IN_OBSERVATION, partition) == RECORDS),
            "{what}"
        );
        assert!(
            world
                .log
                .iter()
                .any(|record| record.topic == Topic::PROGRESS && record.key != Progress::BASE)
        );
    }
}

fn completed(output: EpochOutput, checkpoint: bool) -> Completed {
    let closing = Closing {
        at: Instant::now(),
        clock: output.epoch.0,
        checkpoint,
        rewinding: false,
    };
    Completed {
        output,
        computed: closing.at,
        closing,
    }
}

#[test]
fn a_crash_at_any_step_loses_and_repeats_nothing() {
    let settings = WrittenSettings::default().check().unwrap();
    let metrics = Arc::new(Metrics::new().unwrap());
    let run = |seed: u64, mut crashes: Vec<u64>, lose: bool| {
        let what = format!("seed {seed}, crashes after {crashes:?} steps, checkpoints lost: {lose}");
        let mut simulation = Simulation {
            world: Arc::default(),
            settings: settings.clone(),
            metrics: Arc::clone(&metrics),
            draw: Draw::new(seed),
            clock: 1_600_000_000_000,
        };
        crashes.reverse();
        loop {
            let next = crashes.pop();
            simulation.world.lock().unwrap().countdown = next;
            if simulation.live() && next.is_none() {
                break;
            }
            if lose {
                simulation.world.lock().unwrap().checkpoints.clear();
            }
        }
        simulation.judge(&what);
        let world = simulation.world.lock().unwrap();
        world.steps
    };
    let began = Instant::now();
    let mut schedules = 0u64;
    for seed in 1..=12 {
        let steps = run(seed, Vec::new(), false);
        for step in 0..steps {
            run(seed, vec![step], false);
            // And again, soon after it came back.
            run(seed, vec![step, (step * 7) % 5, (step * 3) % 11], false);
            // Without any checkpoint, from the beginning of the input.
            run(seed, vec![step], true);
            schedules += 3;
        }
    }
    let rate = schedules as f64 / began.elapsed().as_secs_f64();
    let _ = writeln!(
        std::io::stderr(),
        "{schedules} schedules, {rate:.0} a second: 0 lost, 0 repeated"
    );
    assert!(schedules > 500);
}
