//! Pages of lists: encoded once for all who ask for the same, not on the thread that serves, and within bounds of memory.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use riskflow_model::output::RegionRisk;
use riskflow_model::{Filter, Millis, RegionCode};
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, interval};

use super::lists::{List, Query};
use crate::runtime::metrics::Metrics;
use crate::runtime::views::{Tables, Views};

/// How many pages are encoded at once: so much of the processors readers may take from the job.
const ENCODERS: usize = 2;

/// A page ends when it has so many bytes, whatever `limit` says.
const LARGEST: usize = 16 << 20;

/// How many bytes of pages there may be, those that are kept and those under way to their readers, in [`UNIT`]s.
const BYTES: usize = (128 << 20) / UNIT;
const UNIT: usize = 1 << 10;

/// Smaller pages are not counted: the number of connections bounds them, and whoever reads large ones slowly must not keep them
/// from others.
const SMALL: usize = 256 << 10;

/// How many different pages are kept at most, and for how long after they were last asked for.
const KEPT: usize = 1_024;
const KEEP: Duration = Duration::from_secs(5);

/// The pages that are known.
pub(super) struct Pages {
    views: Arc<Views>,
    metrics: Arc<Metrics>,
    known: Mutex<BTreeMap<(&'static str, Query), Arc<Slot>>>,
    encoders: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
}

/// A page that someone asked for.
struct Slot {
    asked: Mutex<Instant>,
    /// Locked while it is encoded: who asks for the same waits, and finds it.
    page: tokio::sync::Mutex<Option<Page>>,
}

/// A page as of one epoch.
#[derive(Clone)]
struct Page {
    tables: Weak<Tables>,
    /// Before the tables were looked at: the page is right for all who asked earlier.
    begun: Instant,
    epoch: Millis,
    body: Bytes,
}

/// An encoded page, which counts as long as anybody holds it.
struct Counted {
    body: Vec<u8>,
    _bytes: Option<OwnedSemaphorePermit>,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}

/// Too many bytes are under way to readers.
pub(super) struct Full;

impl Pages {
    pub fn new(views: Arc<Views>, metrics: Arc<Metrics>) -> Self {
        Self {
            views,
            metrics,
            known: Mutex::default(),
            encoders: Arc::new(Semaphore::new(ENCODERS)),
            bytes: Arc::new(Semaphore::new(BYTES)),
        }
    }

    /// The page that was asked for, as it is now: the epoch of its rows, and its JSON behind `{"now":…,`.
    pub async fn get(&self, list: &'static List, query: Query) -> Result<(Millis, Bytes), Full> {
        let asked = Instant::now();
        let slot = self.slot(list, &query, asked);
        let mut page = slot.page.lock().await;
        if let Some(known) = &*page
            && (known.begun >= asked || std::ptr::eq(known.tables.as_ptr(), Arc::as_ptr(&self.views.load())))
        {
            return Ok((known.epoch, known.body.clone()));
        }
        *page = None;
        let turn = Arc::clone(&self.encoders)
            .acquire_owned()
            .await
            .expect("nobody closes it");
        let begun = Instant::now();
        let tables = self.views.load();
        self.metrics.http.encoded();
        let seen = Arc::clone(&tables);
        // It goes on, and keeps its turn, if whoever asked goes away.
        let encoded = tokio::task::spawn_blocking(move || (encode(list, &seen, &query), turn)).await;
        let (body, _turn) = encoded.expect("encoding does not panic");
        let body = self.count(body)?;
        *page = Some(Page {
            tables: Arc::downgrade(&tables),
            begun,
            epoch: tables.epoch,
            body: body.clone(),
        });
        Ok((tables.epoch, body))
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<(&'static str, Query), Arc<Slot>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn slot(&self, list: &'static List, query: &Query, asked: Instant) -> Arc<Slot> {
        let mut known = self.known();
        if known.len() >= KEPT {
            known.clear();
        }
        let slot = known.entry((list.about.name, query.clone())).or_insert_with(|| {
            Arc::new(Slot {
                asked: Mutex::new(asked),
                page: tokio::sync::Mutex::default(),
            })
        });
        *slot.asked.lock().unwrap_or_else(PoisonError::into_inner) = asked;
        Arc::clone(slot)
    }

    /// Counts it, if there is room.
    fn count(&self, body: Vec<u8>) -> Result<Bytes, Full> {
        let mut bytes = None;
        if body.len() > SMALL {
            let units = u32::try_from(body.len().div_ceil(UNIT)).expect("a page is bounded");
            let room = || Arc::clone(&self.bytes).try_acquire_many_owned(units).ok();
            let free = room().or_else(|| {
                // What nobody reads makes room.
                self.known().clear();
                room()
            });
            bytes = Some(free.ok_or(Full)?);
        }
        Ok(Bytes::from_owner(Counted { body, _bytes: bytes }))
    }

    /// Forgets, again and again, what is of an epoch that is over or was not asked for of late.
    pub async fn sweep(&self) {
        let mut ticks = interval(Duration::from_secs(1));
        loop {
            ticks.tick().await;
            let now = self.views.load();
            self.known().retain(|_, slot| {
                let asked = *slot.asked.lock().unwrap_or_else(PoisonError::into_inner);
                let current = match slot.page.try_lock() {
                    Ok(page) => page
                        .as_ref()
                        .is_none_or(|page| std::ptr::eq(page.tables.as_ptr(), Arc::as_ptr(&now))),
                    // It is being encoded.
                    Err(_) => true,
                };
                current && asked.elapsed() < KEEP
            });
        }
    }
}

/// The page's JSON, but for what stands before `epoch`.
fn encode(list: &List, tables: &Tables, query: &Query) -> Vec<u8> {
    let (mut total, mut shown, mut passed) = (0usize, 0usize, 0usize);
    let (mut last, mut more) = (String::new(), false);
    let mut items = Vec::new();
    list.rows(tables, query, &mut |key, behind, row| {
        total += 1;
        if !behind {
            return;
        }
        if passed < query.offset {
            passed += 1;
        } else if more || shown == query.limit || items.len() >= LARGEST {
            more = true;
        } else {
            if shown > 0 {
                items.push(b',');
            }
            let written = row.write_json(&mut items);
            written.expect("a row went to its topic as JSON");
            shown += 1;
            key.clone_into(&mut last);
        }
    });
    let notes: Vec<String> = if total == 0 {
        unknown(list, tables, query)
    } else {
        Vec::new()
    };
    let next = (more && shown > 0).then_some(last);
    let epoch = known_epoch(tables.epoch);
    let mut body = format!("\"epoch\":{},\"total\":{total},\"items\":[", json!(epoch)).into_bytes();
    body.append(&mut items);
    body.extend(format!("],\"next\":{}", json!(next)).into_bytes());
    if !notes.is_empty() {
        body.extend(format!(",\"notes\":{}", json!(notes)).into_bytes());
    }
    body.push(b'}');
    body
}

/// The epoch of the rows; `None` while there never were any.
pub(super) fn known_epoch(epoch: Millis) -> Option<Millis> {
    (epoch > Millis(0)).then_some(epoch)
}

/// Which filters alone would leave nothing either: a value that is misspelt looks as if all were calm.
fn unknown(list: &List, tables: &Tables, query: &Query) -> Vec<String> {
    let alone = query.open().filter(|(_, _, alone)| {
        let mut found = false;
        list.rows(tables, alone, &mut |_, _, _| found = true);
        !found
    });
    let notes = alone.map(|(name, value, _)| {
        let code = if name == Filter::Within.name() {
            code_of(tables, query, &value)
        } else {
            String::new()
        };
        format!("none of the {} has `{name}` = `{value}`{code}", list.about.name)
    });
    notes.collect()
}

/// The codes of the regions that are called so, for whoever gave a name in the place of one.
fn code_of(tables: &Tables, query: &Query, name: &str) -> String {
    let is_seen = |region| query.seen.is_none_or(|seen| tables.within(region, seen));
    let rows = tables.table::<RegionRisk>().map(|(_, row)| row);
    let called = rows.filter(|row| *row.name == *name && is_seen(row.region));
    let codes: BTreeSet<RegionCode> = called.map(|row| row.region).collect();
    if codes.is_empty() {
        return String::new();
    }
    let codes: Vec<String> = codes.iter().map(|code| format!("`{code}`")).collect();
    format!("; give the code: {}", codes.join(", "))
}

#[cfg(test)]
mod tests {
    use riskflow_model::OutputRow;
    use riskflow_model::output::AssetRisk;

    use super::super::lists::LISTS;
    use super::*;

    fn pages(rows: usize) -> Pages {
        let mut tables = Tables::default();
        for number in 0..rows {
            let asset = json!({
                "asset": number.to_string(), "name": "x".repeat(1_000), "category": "tank", "domain": "work_safety",
                "region": "330902001001", "inherent_level": 2, "dynamic_level": "red", "score": 8, "level": "orange", "stale": false,
                "population": 0,
            });
            let asset: AssetRisk = serde_json::from_value(asset).unwrap();
            tables.insert(OutputRow::new(asset));
        }
        let views = Views::default();
        views.store(&tables);
        Pages::new(Arc::new(views), Arc::new(Metrics::new().unwrap()))
    }

    fn assets() -> &'static List {
        LISTS.iter().find(|list| list.about.name == "assets").unwrap()
    }

    async fn get(pages: &Pages, limit: usize) -> Result<Bytes, Full> {
        let query = Query {
            limit,
            ..Query::default()
        };
        pages.get(assets(), query).await.map(|(_, body)| body)
    }

    #[tokio::test]
    async fn large_pages_are_bounded_by_what_their_readers_hold_and_small_ones_are_not() {
        let pages = pages(4_000);
        let mut held = Vec::new();
        let mut bytes = 0;
        while let Ok(page) = get(&pages, 3_000 + held.len()).await {
            bytes += page.len();
            held.push(page);
            assert!(bytes <= BYTES * UNIT);
        }
        assert!(bytes > BYTES * UNIT / 2, "{bytes}");
        assert!(get(&pages, 3_000).await.is_err());
        for limit in 0..100 {
            assert!(get(&pages, limit).await.is_ok());
        }
        drop(held);
        // What is kept only in case that someone asks makes room.
        for limit in 3_000..3_100 {
            assert!(get(&pages, limit).await.is_ok());
        }
    }

    #[tokio::test]
    async fn a_page_ends_with_its_bytes_and_says_where_to_go_on() {
        let pages = pages(40_000);
        let mut after = None;
        let mut seen = 0;
        loop {
            let query = Query {
                limit: 40_000,
                after,
                ..Query::default()
            };
            let Ok((_, page)) = pages.get(assets(), query).await else {
                panic!("there is room")
            };
            assert!(page.len() < LARGEST + 10_000);
            let page: serde_json::Value = serde_json::from_slice(&[b"{", &*page].concat()).unwrap();
            assert_eq!(page["total"], 40_000);
            seen += page["items"].as_array().unwrap().len();
            after = page["next"].as_str().map(str::to_owned);
            if after.is_none() {
                break;
            }
        }
        assert_eq!(seen, 40_000);
    }
}
