//! Copies a whole site through `Source` and `Target` alone, as an import without archive and map would.

use stationwagon::fs::RealFs;
use stationwagon::model::provisioning::Record;
use stationwagon::site::{
    Content, Delivered, Delivery, Depth, FolderListing, FolderScan, ItemContent, RecordChange, Source, Target,
    UidsKept, open_source, open_target,
};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

#[derive(Clone, Debug, Default)]
pub struct Counts {
    pub records: usize,
    pub folders: usize,
    pub items: usize,
    pub rejected: Vec<String>,
    pub uids_lost: BTreeMap<String, String>,
    pub differences: Vec<String>,
    pub times: BTreeMap<&'static str, Duration>,
}

impl Counts {
    fn timed<T>(&mut self, what: &'static str, act: impl FnOnce() -> T) -> T {
        let began = Instant::now();
        let result = act();
        *self.times.entry(what).or_default() += began.elapsed();
        result
    }
}

pub fn site(from: &Path, to: &Path) -> Counts {
    let source = open_source(Arc::new(RealFs), from.to_str().unwrap()).unwrap();
    let target = open_target(Arc::new(RealFs), to.to_str().unwrap(), Some(super::served::OWNER)).unwrap();
    target.prepare(&"copied".parse().unwrap()).unwrap();
    let mut counts = Counts::default();
    let records = source.provisioning().unwrap().records;
    let changes: Vec<_> =
        records.iter().map(|found| RecordChange::Put { record: found.record.clone(), was: None }).collect();
    let outcomes = counts.timed("records", || target.put_records(&changes)).unwrap();
    counts.rejected.extend(outcomes.iter().filter_map(|outcome| outcome.as_ref().err()).map(ToString::to_string));
    counts.records = changes.len();
    for found in records {
        if let Record::Account(account) = found.record {
            mailbox(source.as_ref(), target.as_ref(), &account.address, &mut counts);
        }
    }
    counts.timed("finish", || target.finish()).unwrap();
    let (before, after) = (everything(source.as_ref()), everything(target.as_ref()));
    for (what, value) in &before {
        if after.get(what) != Some(value) {
            counts.differences.push(format!("{what}: {value} became {:?}", after.get(what)));
        }
    }
    counts
        .differences
        .extend(after.keys().filter(|what| !before.contains_key(*what)).map(|what| format!("{what} is new")));
    counts
}

/// All that a site says, by place; contents by their size and a hash.
fn everything(site: &dyn Source) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for found in site.provisioning().unwrap().records {
        let record = found.record;
        let text = match &record {
            Record::Account(account) => format!("{record:?} {:?}", account.password.as_ref().map(|it| it.reveal())),
            _ => format!("{record:?}"),
        };
        all.insert(format!("{:?} {}", record.kind(), record.key()), text);
        let Record::Account(account) = &record else { continue };
        let scan = site.mailbox(&account.address).unwrap();
        for setting in scan.settings {
            all.insert(format!("{} {:?}", account.address, setting.key()), format!("{setting:?}"));
        }
        for found in scan.folders {
            let listed = site.folder(&account.address, &found.key, None, Depth::Deep).unwrap();
            let FolderScan::Listed(listing) = listed else { panic!("{}", found.key) };
            let place = format!("{}:{}", account.address, found.key);
            for item in listing.items.iter() {
                let Content::Bytes { bytes, date } = site.read(&account.address, &found.key, &item).unwrap() else {
                    continue;
                };
                let id = stationwagon::model::id::ObjectId::of(&bytes);
                let text = format!(
                    "{id} {date} {} {:?} {:?} {:?} {:?}",
                    item.flags, item.keywords, item.tags, item.uid, item.uidl
                );
                all.insert(format!("{place}/{}", item.name), text);
            }
            all.insert(place, format!("{:?}", listing.folder));
        }
    }
    all
}

fn mailbox(source: &dyn Source, target: &dyn Target, account: &str, counts: &mut Counts) {
    let scan = counts.timed("scan", || source.mailbox(account)).unwrap();
    for found in scan.folders {
        let listed = counts.timed("scan", || source.folder(account, &found.key, None, Depth::Deep)).unwrap();
        let FolderScan::Listed(listing) = listed else { panic!("{account}:{}", found.key) };
        counts.folders += 1;
        let put = counts.timed("folders", || target.put_folder(account, &listing.folder)).unwrap();
        let Ok(put) = put else {
            counts.rejected.push(format!("{account}:{}: {put:?}", found.key));
            continue;
        };
        items(source, target, account, &listing, &put.key, counts);
        counts
            .timed("grants", || target.put_grants(account, &put.key, &listing.folder.grants))
            .unwrap()
            .unwrap_or_else(|reason| panic!("{account}:{}: {reason}", put.key));
    }
    for setting in scan.settings {
        target.put_setting(account, &setting).unwrap().unwrap();
    }
}

fn items(
    source: &dyn Source,
    target: &dyn Target,
    account: &str,
    listing: &FolderListing,
    to: &stationwagon::model::mailbox::FolderKey,
    counts: &mut Counts,
) {
    let key = &listing.folder.key;
    let mut items: Vec<_> = listing.items.iter().collect();
    items.sort_by_key(|item| std::cmp::Reverse(item.uid));
    for batch in items.chunks(64) {
        let wanted: Vec<_> = batch.iter().map(|item| item.name.clone()).collect();
        let names = counts.timed("names", || target.reserve_names(account, to, &wanted)).unwrap();
        let read = |item| counts.timed("read", || source.read(account, key, item)).unwrap();
        let contents: Vec<_> = batch.iter().map(read).collect();
        let deliveries = batch.iter().zip(names).zip(contents).map(|((item, name), content)| {
            let (content, date) = match content {
                Content::Bytes { bytes, date } => (ItemContent::Bytes(bytes), date),
                Content::Large { size, date, open } => {
                    let write = move |out: &mut dyn std::io::Write| std::io::copy(&mut open()?, out);
                    (ItemContent::Stream { size, write: Box::new(write) }, date)
                }
                _ => panic!("{account}:{key}/{} cannot be read", item.name),
            };
            let (keywords, tags) = (item.keywords.clone(), item.tags.clone());
            Delivery { name, content, date, flags: item.flags, keywords, tags, uid: item.uid, uidl: item.uidl.clone() }
        });
        let deliveries: Vec<_> = deliveries.collect();
        counts.items += deliveries.len();
        let (outcomes, uids) = counts.timed("deliver", || target.deliver(account, to, deliveries)).unwrap();
        for (item, outcome) in batch.iter().zip(outcomes) {
            if let Delivered::Rejected(reason) = outcome {
                counts.rejected.push(format!("{account}:{key}/{}: {reason}", item.name));
            }
        }
        if let UidsKept::No(reason) = uids {
            counts.uids_lost.insert(format!("{account}:{key}"), reason);
        }
    }
}
