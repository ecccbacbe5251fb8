//! A CSV file of accounts: a line of column names, then an account a line. Pure; rows that are not changed stay byte
//! for byte.
//!
//! Columns, in any order and case: `address` (or `email`), `name`, `password` (a hash with its scheme), `quota` (bytes,
//! or with k, M, G, T), `status` (`active`, `locked`, `closed`), `class` (`user`, `location`, `equipment`), `cos`,
//! `groups` and `aliases` (several with `;` between). Any other column is kept as the attribute `csv.COLUMN`. Quoting
//! is RFC 4180's.

use crate::model::provisioning::{Account, AccountClass, AccountStatus, Secret};
use crate::site::directory::passwd_file::{encode_storage, parse_storage};
use crate::site::directory::text_file::{BadLine, Concerns};
use std::collections::{BTreeMap, HashSet};

/// Begins the names of attributes that are columns.
pub const ATTRIBUTE: &str = "csv.";

/// The columns of a file that is made.
const COLUMNS: [&str; 9] = ["address", "name", "password", "quota", "status", "class", "cos", "groups", "aliases"];

/// A file taken apart.
pub struct CsvFile {
    columns: Vec<String>,
    /// As they stand, unless a column was added.
    header: Vec<u8>,
    rows: Vec<Row>,
}

struct Row {
    bytes: Vec<u8>,
    line: usize,
    /// Values by column, where the row has an address and is text.
    account: Option<(Account, Vec<String>)>,
}

impl CsvFile {
    /// Takes a file apart; an empty one has the usual columns. Without a column of addresses it is none.
    pub fn parse(bytes: &[u8]) -> Result<(Self, Vec<BadLine>), &'static str> {
        let mut columns: Vec<String> = COLUMNS.map(str::to_owned).to_vec();
        if bytes.trim_ascii().is_empty() {
            let header = encode(&columns);
            return Ok((Self { columns, header, rows: Vec::new() }, Vec::new()));
        }
        let mut reader = csv::ReaderBuilder::new().flexible(true).has_headers(false).from_reader(bytes);
        let (mut starts, mut records) = (Vec::new(), Vec::new());
        let mut record = csv::ByteRecord::new();
        while reader.read_byte_record(&mut record).map_err(|_| "is no CSV file")? {
            let (start, line) = record.position().map_or((0, 0), |at| (at.byte(), at.line()));
            let start = usize::try_from(start).unwrap_or(usize::MAX);
            // Empty lines before it were passed over; they stay with the row above.
            let before = bytes.get(start..).unwrap_or_default().iter().take_while(|byte| matches!(byte, b'\n' | b'\r'));
            let (length, ends) = before.fold((0, 0), |(all, ends), byte| (all + 1, ends + usize::from(*byte == b'\n')));
            starts.push(start + length);
            records.push((usize::try_from(line).unwrap_or(usize::MAX).saturating_add(ends), record.clone()));
        }
        starts.push(bytes.len());
        let mut blocks = starts.windows(2).map(|pair| match pair {
            [from, to] => bytes.get(*from..*to).unwrap_or_default().to_vec(),
            _ => Vec::new(),
        });
        let mut records = records.into_iter();
        let (Some((_, names)), Some(header)) = (records.next(), blocks.next()) else {
            return Err("has no line of columns");
        };
        columns = names.iter().map(|name| String::from_utf8_lossy(name).trim().to_ascii_lowercase()).collect();
        for column in &mut columns {
            if matches!(column.as_str(), "email" | "mail") {
                "address".clone_into(column);
            }
        }
        if !columns.iter().any(|column| column == "address") {
            return Err("has no column called address");
        }
        let mut file = Self { columns, header: ended(header), rows: Vec::new() };
        let (mut bad, mut seen) = (Vec::new(), HashSet::new());
        for ((line, record), bytes) in records.zip(blocks) {
            let account = match file.account(&record) {
                Ok((account, _)) if !seen.insert(account.address.clone()) => {
                    let what = format!("{} has a line above already", account.address);
                    bad.push(BadLine::new(line, what).concerning(Concerns::None));
                    None
                }
                Ok(account) => Some(account),
                Err((what, concerns)) => {
                    bad.push(BadLine::new(line, what).concerning(concerns));
                    None
                }
            };
            file.rows.push(Row { bytes: ended(bytes), line, account });
        }
        Ok((file, bad))
    }

    /// Accounts with their aliases, in the order of the file.
    pub fn accounts(&self) -> impl Iterator<Item = (&Account, &[String], usize)> {
        let account = |row: &'_ Row| row.line;
        self.rows.iter().filter_map(move |row| {
            let (found, aliases) = row.account.as_ref()?;
            Some((found, aliases.as_slice(), account(row)))
        })
    }

    fn account(&self, record: &csv::ByteRecord) -> Result<(Account, Vec<String>), (&'static str, Concerns)> {
        let mut values = BTreeMap::new();
        for (column, value) in self.columns.iter().zip(record.iter()) {
            let value = std::str::from_utf8(value).map_err(|_| ("is not UTF-8", Concerns::Any))?.trim();
            if !value.is_empty() {
                values.insert(column.as_str(), value);
            }
        }
        let take = |column: &str| values.get(column).copied();
        let address = take("address").ok_or(("has no address", Concerns::Any))?;
        if address.contains(|c: char| c.is_control() || c == ' ' || c == '/') {
            return Err(("has an address with a control character, a space or a slash", Concerns::Any));
        }
        let bad = |what| (what, Concerns::Key(address.to_owned()));
        let quota_bytes = match take("quota") {
            None => None,
            Some("0") => None,
            Some(quota) => Some(parse_storage(quota, 1).ok_or_else(|| bad("has a quota that is no size"))?),
        };
        let status = match take("status").map(str::to_ascii_lowercase).as_deref() {
            None | Some("active") => AccountStatus::Active,
            Some("locked") => AccountStatus::Locked,
            Some("closed") => AccountStatus::Closed,
            Some(_) => return Err(bad("has a status that is none of active, locked and closed")),
        };
        let class = match take("class").map(str::to_ascii_lowercase).as_deref() {
            None | Some("user") => AccountClass::User,
            Some("location") => AccountClass::Location,
            Some("equipment") => AccountClass::Equipment,
            Some(_) => return Err(bad("has a class that is none of user, location and equipment")),
        };
        let several = |column| -> Vec<String> {
            let values = take(column).unwrap_or_default().split(';').map(str::trim);
            values.filter(|value| !value.is_empty()).map(str::to_owned).collect()
        };
        let own = |column: &str| !COLUMNS.contains(&column);
        let attributes = values.iter().filter(|(column, _)| own(column) && !column.is_empty());
        let account = Account {
            address: address.to_owned(),
            class,
            name: take("name").map(str::to_owned),
            password: take("password").map(Secret::new),
            quota_bytes,
            status,
            cos: take("cos").map(str::to_owned),
            groups: several("groups"),
            attributes: attributes
                .map(|(column, value)| (format!("{ATTRIBUTE}{column}"), (*value).to_owned()))
                .collect(),
        };
        Ok((account, several("aliases")))
    }

    fn at(&self, address: &str) -> Option<usize> {
        self.rows.iter().position(|row| row.account.as_ref().is_some_and(|(account, _)| account.address == address))
    }

    /// Makes the row of an account, or sets it where it stands; `was` is its address before.
    pub fn put(&mut self, account: &Account, was: Option<&str>) {
        let at = was.and_then(|was| self.at(was)).or_else(|| self.at(&account.address));
        let aliases = at.and_then(|at| self.rows.get(at)?.account.as_ref().map(|(_, aliases)| aliases.clone()));
        self.set(at, account.clone(), aliases.unwrap_or_default());
    }

    fn set(&mut self, at: Option<usize>, account: Account, aliases: Vec<String>) {
        let row = Row { bytes: Vec::new(), line: 0, account: Some((account, aliases)) };
        if at.and_then(|at| self.rows.get(at)).is_some_and(|there| there.account == row.account) {
            return;
        }
        let row = self.encoded(row);
        match at.and_then(|at| self.rows.get_mut(at)) {
            Some(there) => *there = row,
            None => self.rows.push(row),
        }
    }

    /// Gives an alias to the account that it stands for; `false` where there is none.
    pub fn put_alias(&mut self, alias: &str, target: &str) -> bool {
        let Some(at) = self.at(target) else { return false };
        self.remove_alias(alias);
        let known = self.rows.get(at).and_then(|row| row.account.clone());
        if let Some((account, mut aliases)) = known {
            aliases.push(alias.to_owned());
            self.set(Some(at), account, aliases);
        }
        true
    }

    /// Takes an alias from whoever has it.
    pub fn remove_alias(&mut self, alias: &str) {
        let has = |row: &Row| row.account.as_ref().is_some_and(|(_, aliases)| aliases.iter().any(|one| one == alias));
        while let Some(at) = self.rows.iter().position(has) {
            if let Some((account, aliases)) = self.rows.get(at).and_then(|row| row.account.clone()) {
                self.set(Some(at), account, aliases.into_iter().filter(|one| one != alias).collect());
            }
        }
    }

    /// Takes an account's row out.
    pub fn remove(&mut self, address: &str) {
        if let Some(at) = self.at(address) {
            self.rows.remove(at);
        }
    }

    fn encoded(&mut self, row: Row) -> Row {
        let Some((account, aliases)) = &row.account else { return row };
        let mut values: BTreeMap<String, String> = BTreeMap::new();
        let mut put = |column: &str, value: Option<String>| {
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                values.insert(column.to_owned(), value);
            }
        };
        put("address", Some(account.address.clone()));
        put("name", account.name.clone());
        put("password", account.password.as_ref().map(|password| password.reveal().to_owned()));
        put("quota", account.quota_bytes.map(encode_storage));
        let status = match account.status {
            AccountStatus::Active => None,
            AccountStatus::Locked => Some("locked"),
            AccountStatus::Closed => Some("closed"),
        };
        put("status", status.map(str::to_owned));
        let class = match account.class {
            AccountClass::User => None,
            AccountClass::Location => Some("location"),
            AccountClass::Equipment => Some("equipment"),
        };
        put("class", class.map(str::to_owned));
        put("cos", account.cos.clone());
        put("groups", Some(account.groups.join(";")));
        put("aliases", Some(aliases.join(";")));
        for (name, value) in &account.attributes {
            if let Some(column) =
                name.strip_prefix(ATTRIBUTE).filter(|column| self.columns.iter().any(|has| has == column))
            {
                put(column, Some(value.clone()));
            }
        }
        self.need(values.keys());
        let mut cells: Vec<String> = Vec::new();
        for column in &self.columns {
            cells.push(values.remove(column).unwrap_or_default());
        }
        Row { bytes: encode(&cells), ..row }
    }

    /// Adds columns that a row needs and the file lacks. Rows that end earlier have nothing in them.
    fn need<'c>(&mut self, columns: impl Iterator<Item = &'c String>) {
        let missing: Vec<_> = columns.filter(|column| !self.columns.contains(*column)).cloned().collect();
        if !missing.is_empty() {
            self.columns.extend(missing);
            self.header = encode(&self.columns);
        }
    }

    /// The file.
    pub fn encode(&self) -> Vec<u8> {
        std::iter::once(&self.header).chain(self.rows.iter().map(|row| &row.bytes)).flatten().copied().collect()
    }
}

fn ended(mut bytes: Vec<u8>) -> Vec<u8> {
    if !bytes.ends_with(b"\n") {
        bytes.push(b'\n');
    }
    bytes
}

fn encode(cells: &[String]) -> Vec<u8> {
    let mut writer = csv::WriterBuilder::new().flexible(true).from_writer(Vec::new());
    // Writing into memory has no error of its own.
    let _ = writer.write_record(cells);
    writer.into_inner().unwrap_or_default()
}

/// Why a CSV file has no place for this account; `None` where it has.
pub fn refusal(account: &Account) -> Option<&'static str> {
    let breaks = |text: &str| text.contains(';') || text.trim() != text;
    if account.address.is_empty() || account.address.contains(|c: char| c.is_control() || c == ' ' || c == '/') {
        Some("a list of accounts holds no address with a control character, a space or a slash")
    } else if account.groups.iter().any(|group| breaks(group)) {
        Some("a list of accounts holds no group with a semicolon or a space at an end")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "Email,name,quota,phone,aliases\r\n\
        ann@a.test,\"Ann, \"\"the\"\" first\",5G,+1,info@a.test; sales@a.test\r\n\
        # nothing\r\nbob@a.test,Bob\r\n";

    fn parsed(text: &str) -> CsvFile {
        CsvFile::parse(text.as_bytes()).unwrap().0
    }

    #[test]
    fn a_spreadsheet_becomes_accounts_with_aliases_and_attributes() {
        let file = parsed(FILE);
        let (ann, aliases, line) = file.accounts().next().unwrap();
        assert_eq!((ann.address.as_str(), ann.name.as_deref(), line), ("ann@a.test", Some("Ann, \"the\" first"), 2));
        assert_eq!((ann.quota_bytes, aliases.len()), (Some(5 << 30), 2));
        assert_eq!(ann.attributes.get("csv.phone").map(String::as_str), Some("+1"));
        let (_, bad) = CsvFile::parse(FILE.as_bytes()).unwrap();
        assert_eq!(bad.iter().map(|bad| bad.line).collect::<Vec<_>>(), [3]);
    }

    #[test]
    fn what_is_not_changed_stays_byte_for_byte_and_a_missing_column_is_added() {
        let mut file = parsed(FILE);
        assert_eq!(file.encode(), FILE.as_bytes());
        let bob = file.accounts().find(|(account, ..)| account.address == "bob@a.test").unwrap().0.clone();
        file.put(&bob, None);
        assert_eq!(file.encode(), FILE.as_bytes(), "the same account again");
        file.put(&Account { status: AccountStatus::Locked, ..bob }, Some("bob@a.test"));
        file.put(&Account { address: "new@a.test".to_owned(), ..Account::default() }, None);
        let text = String::from_utf8(file.encode()).unwrap();
        assert!(text.starts_with("address,name,quota,phone,aliases,status\nann@a.test,\"Ann, "), "{text}");
        assert!(text.contains("bob@a.test,Bob,,,,locked\n") && text.ends_with("new@a.test,,,,,\n"), "{text}");
        let again = parsed(&text);
        assert_eq!(again.accounts().count(), 3);
        assert_eq!(again.accounts().nth(1).unwrap().0.status, AccountStatus::Locked);
    }

    #[test]
    fn an_alias_goes_from_one_account_to_another() {
        let mut file = parsed(FILE);
        assert!(file.put_alias("info@a.test", "bob@a.test"));
        assert!(!file.put_alias("x@a.test", "nobody@a.test"));
        let aliases: Vec<_> = file.accounts().map(|(_, aliases, _)| aliases.join(" ")).collect();
        assert_eq!(aliases, ["sales@a.test", "info@a.test"]);
        assert_eq!(parsed(&String::from_utf8(file.encode()).unwrap()).accounts().count(), 2);
    }

    #[test]
    fn a_file_that_is_no_list_of_accounts_says_so_and_bad_rows_cost_only_themselves() {
        assert!(CsvFile::parse(b"a,b\n1,2\n").is_err());
        let (file, bad) =
            CsvFile::parse(b"address,quota,status\na@b.test,much\nc@d.test,1k,\n,,\nc@d.test\ne@f.test,,gone\n")
                .unwrap();
        assert_eq!(file.accounts().count(), 1);
        assert_eq!(bad.iter().map(|bad| bad.line).collect::<Vec<_>>(), [2, 4, 5, 6]);
        assert_eq!(
            CsvFile::parse(b"").unwrap().0.encode(),
            b"address,name,password,quota,status,class,cos,groups,aliases\n"
        );
    }
}
