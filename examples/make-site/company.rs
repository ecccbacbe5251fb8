//! A company: twenty accounts that write to one another, and get what is sent to the whole site.

use super::dice::Dice;
use super::letter::{Letter, START, YEARS};
use super::maildir::Maildir;
use std::fmt::Write;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Messages of an account, on average.
const MESSAGES_AN_ACCOUNT: u64 = 500;
const ACCOUNTS_A_COMPANY: u64 = 20;
const MESSAGES_A_COMPANY: u64 = MESSAGES_AN_ACCOUNT * ACCOUNTS_A_COMPANY;
/// How many letters in a thousand come to several companies.
const SITE_WIDE: u64 = 20;

/// One of the companies of a site.
pub struct Company {
    nth: u64,
    pub messages: u64,
    /// Numbers of its accounts in the site.
    accounts: Range<u64>,
    /// Messages of the whole site.
    of: u64,
}

impl Company {
    /// Company number `nth` of a site with that many messages; `None` after the last.
    pub fn nth(nth: u64, of: u64) -> Option<Self> {
        let before = nth.checked_mul(MESSAGES_A_COMPANY).filter(|before| *before < of)?;
        let messages = MESSAGES_A_COMPANY.min(of - before);
        let first = nth * ACCOUNTS_A_COMPANY;
        Some(Self { nth, messages, accounts: first..first + messages.div_ceil(MESSAGES_AN_ACCOUNT), of })
    }

    pub fn all(messages: u64) -> impl Iterator<Item = Self> {
        (0..).map_while(move |nth| Self::nth(nth, messages))
    }

    fn domain(&self) -> String {
        format!("company{:04}.example", self.nth)
    }

    fn user(account: u64) -> String {
        format!("user{account:05}")
    }

    fn address(&self, account: u64) -> String {
        format!("{}@{}", Self::user(account), self.domain())
    }

    /// Where each of its accounts has its Maildir, relative to the site.
    pub fn maildirs(&self) -> impl Iterator<Item = PathBuf> {
        let domain = format!("mail/{}", self.domain());
        self.accounts.clone().map(move |account| Path::new(&domain).join(Self::user(account)).join("Maildir"))
    }

    /// Its lines of a Dovecot passwd-file. The hash is of no password.
    pub fn passwd(&self, out: &mut String) {
        for account in self.accounts.clone() {
            let _ = writeln!(out, "{}:{{SHA512-CRYPT}}$6$x$x:5000:5000::::", self.address(account));
        }
    }

    /// The dice of this company for a purpose.
    pub fn dice(&self, purpose: &str) -> Dice {
        Dice::of(purpose, self.nth)
    }

    /// Writes all its mailboxes.
    pub fn write(&self, site: &Path) -> io::Result<()> {
        let mut maildirs: Vec<_> =
            self.maildirs().map(|path| Maildir::create(site.join(path))).collect::<io::Result<_>>()?;
        let mut dice = self.dice("company");
        self.letters(&mut dice, self.messages, START..START + YEARS, |account, dice, raw, date| {
            maildirs.get_mut(account).map_or(Ok(()), |maildir| maildir.add(dice, raw, date))
        })?;
        maildirs.into_iter().try_for_each(|maildir| maildir.finish(&mut dice))
    }

    /// Lets letters come until `messages` copies are delivered: each to one to four accounts, 2.5 on average. `deliver`
    /// gets the account's place among those of the company.
    pub fn letters(
        &self,
        dice: &mut Dice,
        messages: u64,
        time: Range<i64>,
        mut deliver: impl FnMut(usize, &mut Dice, &str, i64) -> io::Result<()>,
    ) -> io::Result<()> {
        let accounts = self.accounts.end - self.accounts.start;
        let mut left = messages;
        let mut copy = String::new();
        while left > 0 {
            let copies = (1 + dice.below(4)).min(left).min(accounts);
            left -= copies;
            let first = dice.below(accounts);
            let step = 1 + dice.below((accounts / 4).max(1));
            // Different accounts, because copies times step is at most their number.
            let recipients: Vec<u64> = (0..copies).map(|nth| (first + nth * step) % accounts).collect();
            let letter = if dice.chance(SITE_WIDE) {
                self.site_wide(dice, &time)
            } else {
                let sender = self.address(self.accounts.start + dice.below(accounts));
                let to: Vec<_> = recipients.iter().map(|at| self.address(self.accounts.start + at)).collect();
                let date = time.start + (dice.next() % time.end.abs_diff(time.start).max(1)) as i64;
                Letter::write(dice, sender, &to, date)
            };
            for at in recipients {
                copy.clear();
                letter.delivered(dice, &self.address(self.accounts.start + at), &mut copy);
                deliver(usize::try_from(at).unwrap_or_default(), dice, &copy, letter.date)?;
            }
        }
        Ok(())
    }

    /// A letter that comes to other companies too: one for each 500 messages of the site, so that copies lie far apart.
    fn site_wide(&self, dice: &mut Dice, time: &Range<i64>) -> Letter {
        let mut shared = Dice::of("site-wide", dice.below(self.of.div_ceil(MESSAGES_AN_ACCOUNT)) ^ time.start as u64);
        let date = time.start + (shared.next() % time.end.abs_diff(time.start).max(1)) as i64;
        Letter::write(&mut shared, "news@site.example".to_owned(), &["everybody@site.example".to_owned()], date)
    }
}
