//! Which snapshots stay: restic's rules, applied to the snapshots of one source.
//!
//! A rule that counts hours, days, weeks … keeps the newest snapshot of each of the newest so many in which there is one,
//! and the oldest snapshot of all where it could count further: so the history is as long as it can be. Calendars are those
//! of UTC. A pure function.

use crate::model::id::SnapshotNo;
use jiff::civil::Date;
use jiff::{Span, Timestamp, tz::TimeZone};
use serde::Serialize;

/// How many; restic's `unlimited` is `u32::MAX`.
pub type Count = u32;

/// The rules; all zero and empty: none.
#[derive(Clone, Debug, Default)]
pub struct Keep {
    pub last: Count,
    pub hourly: Count,
    pub daily: Count,
    pub weekly: Count,
    pub monthly: Count,
    pub yearly: Count,
    /// Everything not older than this before the newest snapshot.
    pub within: Option<Span>,
    pub labels: Vec<String>,
}

/// What the rules look at.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Candidate {
    pub no: SnapshotNo,
    /// Seconds since 1970.
    pub started: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
}

impl Keep {
    pub fn is_empty(&self) -> bool {
        let counts = [self.last, self.hourly, self.daily, self.weekly, self.monthly, self.yearly];
        counts.iter().all(|count| *count == 0) && self.within.is_none() && self.labels.is_empty()
    }

    /// Why each of `snapshots`, oldest first, stays; no reason: it goes.
    pub fn reasons(&self, snapshots: &[Candidate]) -> Vec<Vec<&'static str>> {
        let mut reasons: Vec<Vec<&'static str>> = vec![Vec::new(); snapshots.len()];
        let time = |candidate: &Candidate| Timestamp::from_second(candidate.started).unwrap_or_default();
        let date = |candidate: &Candidate| time(candidate).to_zoned(TimeZone::UTC).date();
        let hour = |candidate: &Candidate| candidate.started.div_euclid(3600);
        let days = |date: Date| i64::from(date.year()) * 1000 + i64::from(date.day_of_year());
        let week = |date: Date| {
            let week = date.iso_week_date();
            i64::from(week.year()) * 100 + i64::from(week.week())
        };
        type Bucket<'b> = Box<dyn Fn(usize, &Candidate) -> i64 + 'b>;
        let month = |date: Date| i64::from(date.year()) * 12 + i64::from(date.month());
        let rules: [(Count, [&str; 2], Bucket<'_>); 6] = [
            (self.last, ["last snapshot"; 2], Box::new(|at, _| at as i64)),
            (self.hourly, ["hourly snapshot", "oldest hourly snapshot"], Box::new(|_, c| hour(c))),
            (self.daily, ["daily snapshot", "oldest daily snapshot"], Box::new(|_, c| days(date(c)))),
            (self.weekly, ["weekly snapshot", "oldest weekly snapshot"], Box::new(|_, c| week(date(c)))),
            (self.monthly, ["monthly snapshot", "oldest monthly snapshot"], Box::new(|_, c| month(date(c)))),
            (self.yearly, ["yearly snapshot", "oldest yearly snapshot"], Box::new(|_, c| i64::from(date(c).year()))),
        ];
        for (count, [reason, oldest], bucket) in rules {
            let mut left = count;
            let mut last = None;
            for (at, candidate) in snapshots.iter().enumerate().rev() {
                let here = bucket(at, candidate);
                let is_new = last != Some(here);
                if left > 0 && (is_new || at == 0) {
                    left = if left == Count::MAX { left } else { left - 1 };
                    last = Some(here);
                    if let Some(reasons) = reasons.get_mut(at) {
                        reasons.push(if is_new { reason } else { oldest });
                    }
                }
            }
        }
        let since = snapshots.last().zip(self.within).and_then(|(newest, span)| {
            let newest = time(newest).to_zoned(TimeZone::UTC);
            newest.checked_sub(span).ok().map(|begin| begin.timestamp().as_second())
        });
        for (candidate, reasons) in snapshots.iter().zip(&mut reasons) {
            if since.is_some_and(|since| candidate.started >= since) {
                reasons.push("within the duration");
            }
            if candidate.label.as_ref().is_some_and(|label| self.labels.contains(label)) {
                reasons.push("label");
            }
        }
        reasons
    }
}

/// A duration as restic writes it: `2y5m7d3h`, in this order, each part optional.
pub fn parse_duration(text: &str) -> Option<Span> {
    let mut span = Span::new();
    let (mut rest, mut last) = (text, 0);
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: i64 = rest.get(..digits)?.parse().ok()?;
        let unit = rest.get(digits..)?.chars().next()?;
        let order = "ymdh".find(unit)? + 1;
        if order <= last {
            return None;
        }
        last = order;
        span = match unit {
            'y' => span.try_years(number),
            'm' => span.try_months(number),
            'd' => span.try_days(number),
            _ => span.try_hours(number),
        }
        .ok()?;
        rest = rest.get(digits + 1..)?;
    }
    (last > 0).then_some(span)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One snapshot each six hours of these days, the first at midnight of 2024-01-01.
    fn six_hourly(days: i64) -> Vec<Candidate> {
        let begin = 1_704_067_200;
        let each = |(at, no): (i64, u32)| Candidate { no: SnapshotNo(no), started: begin + at * 6 * 3600, label: None };
        (0..days * 4).zip(1..).map(each).collect()
    }

    fn kept(keep: &Keep, snapshots: &[Candidate]) -> Vec<String> {
        let reasons = keep.reasons(snapshots);
        let kept = snapshots.iter().zip(reasons).filter(|(_, reasons)| !reasons.is_empty());
        kept.map(|(candidate, reasons)| {
            let time = Timestamp::from_second(candidate.started).unwrap().strftime("%m-%d %H").to_string();
            format!("{time} {}", reasons.join(", "))
        })
        .collect()
    }

    #[test]
    fn each_rule_keeps_the_newest_of_its_days_weeks_and_months() {
        let all = six_hourly(70);
        let keep = Keep { last: 1, daily: 2, weekly: 2, monthly: 3, ..Keep::default() };
        insta::assert_snapshot!(kept(&keep, &all).join("\n"), @r"
        01-31 18 monthly snapshot
        02-29 18 monthly snapshot
        03-03 18 weekly snapshot
        03-09 18 daily snapshot
        03-10 18 last snapshot, daily snapshot, weekly snapshot, monthly snapshot
        ");
        let keep = Keep { hourly: 2, yearly: 5, ..Keep::default() };
        insta::assert_snapshot!(kept(&keep, &all).join("\n"), @r"
        01-01 00 oldest yearly snapshot
        03-10 12 hourly snapshot
        03-10 18 hourly snapshot, yearly snapshot
        ");
    }

    #[test]
    fn a_duration_counts_back_from_the_newest_snapshot_and_labels_stay() {
        let mut all = six_hourly(10);
        all[3].label = Some("before the switch".to_owned());
        let keep =
            Keep { within: parse_duration("1d6h"), labels: vec!["before the switch".to_owned()], ..Keep::default() };
        insta::assert_snapshot!(kept(&keep, &all).join("\n"), @r"
        01-01 18 label
        01-09 12 within the duration
        01-09 18 within the duration
        01-10 00 within the duration
        01-10 06 within the duration
        01-10 12 within the duration
        01-10 18 within the duration
        ");
        let keep = Keep { daily: Count::MAX, ..Keep::default() };
        assert_eq!(kept(&keep, &all).len(), 11, "the last of each day, and the first of all");
    }

    #[test]
    fn durations_are_written_as_restic_writes_them() {
        for good in ["2y5m7d3h", "30d", "6m", "1y3h"] {
            assert!(parse_duration(good).is_some(), "{good}");
        }
        for bad in ["", "3", "d", "3h2d", "2w", "1d1d", "99999999999y", "-1d"] {
            assert!(parse_duration(bad).is_none(), "{bad}");
        }
    }
}
