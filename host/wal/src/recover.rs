//! The way from a folder to a running log: lock it, judge it, clean up, begin a new life.
//!
//! Nothing is modified before all is judged, and nothing of a damaged log before its owner has decided about it (`mend`). Payloads are
//! checked and forgotten: memory is one batch and eight bytes an entry. The rules stand in `FORMAT.md`, "Recovery". Tests:
//! `tests/crash.rs`, `tests/damage.rs`, `tests/history.rs`.

use std::collections::{BTreeSet, VecDeque};
use std::io;

use outboard_raft::{HardState, Index, Membership, Payload, Position, Term};

use crate::catalog::{Catalog, START};
use crate::disk::Disk;
use crate::error::{Doing, WalError};
use crate::loss::{Loss, Note};
use crate::mend::DamagedLog;
use crate::reader::Reader;
use crate::record::{self, BatchHeader, BatchKind, SEGMENT_HEADER_BYTES};
use crate::replay::{Judged, Replay};
use crate::segment::{
    FileKind, Options, SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN, Segment, Segments, file_kind, segment_name, shown,
};
use crate::wal::{Wal, next_incarnation};

/// Read ahead of an entry that is looked at.
const READ_BYTES: usize = 256 << 10;
/// Written again at once.
const REWRITE_BYTES: u32 = 1 << 20;

/// A log whose folder is ours and whose bytes nobody has looked at.
pub struct Unrecovered {
    disk: Box<dyn Disk>,
    cluster: u128,
    options: Options,
}

/// What the log held.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Recovered {
    /// As last appended.
    pub hard_state: HardState,
    /// The last position compacted away, or replaced by a snapshot.
    pub base: Position,
    /// The first position of every term's run after the base, ascending.
    pub terms: Vec<Position>,
    /// The last entry; the base if there is none.
    pub last: Position,
    /// How much was cut at the tail, as far as it can be told; 0 after a clean end.
    pub torn_bytes: u64,
    /// Data that had been durable was lost here, and it is not made good yet: see [`Wal::settle_loss`].
    pub loss: Option<Loss>,
}

/// What a look at the log's bytes has shown. Nothing is modified yet.
pub enum Verdict {
    /// It can go on.
    Sound(SoundLog),
    /// Bytes that had been durable are not what was written.
    Damaged(DamagedLog),
}

/// A log that was read to its end and is as it was written, but for a torn tail.
pub struct SoundLog {
    segments: Segments,
    judged: Judged,
    strays: Vec<String>,
    leftovers: Vec<u32>,
    note: Option<Note>,
}

impl Unrecovered {
    /// Takes the folder for this process. `cluster` is what the log belongs to or, when new, will belong to.
    ///
    /// # Panics
    /// When [`Options::segment_bytes`] is out of its limits.
    pub fn open(mut disk: Box<dyn Disk>, cluster: u128, options: Options) -> Result<Unrecovered, WalError> {
        let limits = SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX;
        assert!(limits.contains(&options.segment_bytes), "a segment's size is within its limits");
        let path = disk.path();
        match disk.lock() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(WalError::Locked { path }),
            other => other.doing("lock", &path).map(|()| Unrecovered { disk, cluster, options }),
        }
    }

    /// Judges and resumes a log; a damaged one is an error and is left as it is.
    pub fn recover(self) -> Result<(Wal, Recovered), WalError> {
        match self.judge()? {
            Verdict::Sound(sound) => sound.resume(),
            Verdict::Damaged(damaged) => Err(damaged.into_error()),
        }
    }

    /// Reads all that is there and says what it is.
    pub fn judge(self) -> Result<Verdict, WalError> {
        let folder = Folder::read(self.disk.as_ref(), &self.options)?;
        let note = Note::read(self.disk.as_ref())?;
        let Folder { segments: ids, spares, strays } = folder;
        let segments = Segments {
            disk: self.disk,
            cluster: self.cluster,
            options: self.options,
            list: Default::default(),
            spares,
        };
        let judged = match ids.last() {
            None => Judged::nothing(),
            Some(last) => {
                let first = first_of_run(&ids, *last);
                match Replay::judge(&segments, first, *last) {
                    Ok(judged) => judged,
                    Err(error @ WalError::Corrupt { .. }) => {
                        let damaged = DamagedLog::survey(segments, (first, *last), ids, strays, note, error)?;
                        return Ok(Verdict::Damaged(damaged));
                    }
                    Err(error) => return Err(error),
                }
            }
        };
        let leftover = |id: &u32| !judged.segments.iter().any(|segment| segment.id == *id);
        let leftovers = ids.into_iter().filter(leftover).collect();
        Ok(Verdict::Sound(SoundLog { segments, judged, strays, leftovers, note }))
    }
}

impl SoundLog {
    /// Data that had been durable was lost here before, and it is not made good.
    pub fn loss(&self) -> Option<Loss> {
        self.note.and_then(Note::pending)
    }

    /// No log was there: it begins with this life.
    pub fn is_new(&self) -> bool {
        self.judged.segments.is_empty()
    }

    /// There should have been a log, and all of it is lost: writes that down, durably, before a new one begins. See [`Wal::note_loss`].
    pub fn note_loss(&mut self, at: u64) -> Result<(), WalError> {
        assert!(self.is_new(), "a log that is there has its own word on what was lost");
        // What an earlier attempt has left may have the note's name.
        remove(&self.segments, &std::mem::take(&mut self.strays))?;
        let note = Note::Pending(Loss { incarnation: next_incarnation(self.note, at), remembers: None });
        note.write(self.segments.disk.as_ref(), self.segments.options.sync)?;
        self.note = Some(note);
        Ok(())
    }

    /// As last appended.
    pub fn hard_state(&self) -> HardState {
        self.judged.catalog.hard_state
    }

    /// Where it ends.
    pub fn last(&self) -> Position {
        self.judged.catalog.last()
    }

    /// The last membership among the entries behind this one.
    pub fn newest_membership(&self, after: Index) -> Result<Option<Membership>, WalError> {
        let catalog = &self.judged.catalog;
        let mut reader = Reader::new(&self.judged.segments, self.segments.disk.as_ref());
        let mut newest = None;
        for index in after.max(catalog.floor().index).next().0..=catalog.last().index.0 {
            let (position, location) = (catalog.position(Index(index)), catalog.location(Index(index)));
            let (position, location) = position.zip(location).expect("between base and last every entry has its place");
            if let (Payload::Membership(membership), _) =
                reader.entry(location, position, READ_BYTES).map(|(entry, bytes)| (entry.payload, bytes))?
            {
                newest = Some(membership);
            }
        }
        Ok(newest)
    }

    /// Cuts a torn tail, cleans up, begins a new life. The cut is durable on return; so is everything that [`Recovered`] tells.
    pub fn resume(mut self) -> Result<(Wal, Recovered), WalError> {
        remove(&self.segments, &self.strays)?;
        let pending = matches!(self.note, Some(Note::Pending(_)));
        for id in self.leftovers {
            if pending {
                // The crash came before a damaged log was set aside.
                self.segments.set_aside(id)?;
                continue;
            }
            let bytes = self.segments.disk.open(&segment_name(id)).and_then(|file| file.size());
            let bytes = bytes.doing("open", &self.segments.shown(&segment_name(id)))?;
            self.segments.free_file(id, bytes)?;
        }
        if pending {
            self.segments.sync_folder()?
        } else {
            self.segments.clear_aside()?
        }
        self.judged.resume(self.segments, self.note)
    }
}

/// Files of no use.
pub(crate) fn remove(segments: &Segments, strays: &[String]) -> Result<(), WalError> {
    strays.iter().try_for_each(|name| segments.disk.remove(name).doing("remove", &segments.shown(name)))
}

/// The folder's files by what they are.
struct Folder {
    segments: BTreeSet<u32>,
    spares: Vec<String>,
    /// Of no use: to be removed.
    strays: Vec<String>,
}

impl Folder {
    fn read(disk: &dyn Disk, options: &Options) -> Result<Folder, WalError> {
        let mut folder = Folder { segments: BTreeSet::new(), spares: Vec::new(), strays: Vec::new() };
        let mut names = disk.list().doing("list", &disk.path())?;
        names.sort();
        for name in names {
            match file_kind(&name) {
                FileKind::Segment(id) => drop(folder.segments.insert(id)),
                FileKind::Fresh => folder.strays.push(name),
                FileKind::Spare => {
                    let bytes = disk.open(&name).and_then(|file| file.size()).doing("open", &shown(disk, &name))?;
                    let usable = bytes == options.segment_bytes;
                    if usable { folder.spares.push(name) } else { folder.strays.push(name) }
                }
                FileKind::Damaged | FileKind::Other => {}
            }
        }
        Ok(folder)
    }
}

/// Where the gapless run that ends with the last segment begins. What lies before a gap was freed, or the batches will tell that it
/// was not: freeing several files is not one step on disk.
fn first_of_run(segments: &BTreeSet<u32>, last: u32) -> u32 {
    let mut first = last;
    while first > 0 && segments.contains(&(first - 1)) {
        first -= 1;
    }
    first
}

impl Judged {
    fn nothing() -> Judged {
        let catalog = Catalog::starting_after(START, START, HardState { term: Term(0), vote: None });
        Judged { segments: VecDeque::new(), catalog, life: 0, torn_bytes: 0 }
    }

    /// Makes durable what was read (it may have come from memory, after only the process had died), then begins a new life.
    fn resume(mut self, mut segments: Segments, note: Option<Note>) -> Result<(Wal, Recovered), WalError> {
        if self.segments.is_empty() {
            self.segments.push_back(first_segment(&mut segments)?);
        }
        segments.list = self.segments;
        if segments.options.sync {
            write_tail_again(&segments)?;
            // All of them: the last but one may have been closed and not synced yet, earlier ones may be from a time without syncs.
            for segment in &segments.list {
                segment.file.sync().doing("sync", &segments.shown(&segment.name()))?;
            }
            let active = segments.active();
            active.durable = active.end;
        }
        let recovered = Recovered {
            hard_state: self.catalog.hard_state,
            base: self.catalog.base(),
            terms: self.catalog.runs().to_vec(),
            last: self.catalog.last(),
            torn_bytes: self.torn_bytes,
            loss: note.and_then(Note::pending),
        };
        let life = (self.life + 1).max(recovered.loss.map_or(0, Loss::life_min));
        Ok((Wal::begin(segments, self.catalog, life, note)?, recovered))
    }
}

/// What lies behind the last mark may be in memory only, and a sync that failed in an earlier life may have made the system
/// believe that it is on the disk. Only what is written again is sure to get there.
fn write_tail_again(segments: &Segments) -> Result<(), WalError> {
    let with_batches = segments.list.iter().rev().find(|segment| segment.end > SEGMENT_HEADER_BYTES);
    let Some(segment) = with_batches else { return Ok(()) };
    let name = segments.shown(&segment.name());
    let mut bytes = Vec::new();
    let mut offset = segment.durable;
    while offset < segment.end {
        bytes.resize((segment.end - offset).min(REWRITE_BYTES) as usize, 0);
        segment.file.read_at(u64::from(offset), &mut bytes).doing("read", &name)?;
        segment.file.write_at(u64::from(offset), &bytes).doing("write", &name)?;
        offset += bytes.len() as u32;
    }
    Ok(())
}

/// The very first segment gets its first batch before its name, so that the first segment always begins with a batch.
fn first_segment(segments: &mut Segments) -> Result<Segment, WalError> {
    segments.create(1, 0, |salt| {
        let header = BatchHeader {
            kind: BatchKind::Append,
            offset: SEGMENT_HEADER_BYTES,
            mark: SEGMENT_HEADER_BYTES,
            life: 0,
            entries: 0,
            payload_bytes: 0,
            payload_crc: record::crc32c(&[]),
            hard_state: HardState { term: Term(0), vote: None },
            base: START,
            prev: START,
        };
        header.encode(salt).to_vec()
    })
}
