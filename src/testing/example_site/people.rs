//! Who lives on the example site: domains, accounts, lists and aliases, as Dovecot's passwd-file and Postfix's maps
//! have them.
//!
//! The password of `USER@DOMAIN` is `pw-USER`. The hashes are constants because a hash with a fresh salt would make
//! another site each time; three schemes, as sites that have lived for some years have them.

use super::tree::Tree;
use crate::site::SiteError;

/// An account of the example site.
pub struct Person {
    pub address: &'static str,
    pub name: &'static str,
    pub hash: &'static str,
    /// What stands in the extra field of its passwd line.
    pub extra: &'static str,
}

impl Person {
    /// The part before the `@`.
    pub fn user(&self) -> &'static str {
        self.address.split_once('@').map_or(self.address, |(user, _)| user)
    }

    /// `DOMAIN/USER`, as the tree spells an account.
    pub fn folder(&self) -> String {
        folder_of(self.address)
    }
}

/// `DOMAIN/USER` of an address.
pub fn folder_of(address: &str) -> String {
    let (user, domain) = address.split_once('@').unwrap_or((address, ""));
    format!("{domain}/{user}")
}

pub const ANN: &str = "ann@station.example";
pub const BERT: &str = "bert@station.example";
pub const CLARA: &str = "clara@station.example";
pub const POSTMASTER: &str = "postmaster@station.example";
pub const ROOM: &str = "room-1@station.example";
pub const EMIL: &str = "emil@wagon.example";
pub const FRIDA: &str = "frida@wagon.example";
pub const OHARA: &str = "o'hara@wagon.example";
/// Migrates later than the others.
pub const GERDA: &str = "gerda@wagon.example";

pub const TEAM: &str = "team@station.example";
pub const ALL: &str = "all@wagon.example";

/// The accounts; the last is a room.
pub const PEOPLE: [Person; 9] = [
    Person {
        address: ANN,
        name: "Ann Ash",
        hash: "{SHA512-CRYPT}$6$u8jzPde0IgxLd6Gn$S4Q47Feh9oe0g03lN9t.CWeYLKuRbQZmz8diJYzznJFZR4UFwApXNwDLk2dINSeaIEq.\
               TOX3672ZRNvwha37P1",
        extra: "userdb_quota_rule=*:storage=2G userdb_acl_groups=dispatch,timetable",
    },
    Person {
        address: BERT,
        name: "Bert Birch",
        hash: "{SSHA512}QtArXHLwkPwf+KrDm2z9KRy//9jFa/PT8tJuqxQqV1zOcvwOISOt1NCYQ88dGBYeKbJn2+hw29F5wEjOvVy8a2NmQkFl\
               cGZK",
        extra: "userdb_quota_rule=*:storage=1G userdb_acl_groups=dispatch",
    },
    Person {
        address: CLARA,
        name: "Clara Cedar",
        hash: "{BLF-CRYPT}$2y$05$7ScKEtPTWn9EvVfRQB2xnu.9incHAmnK9UV4N1x85/ruxpNDl6aOm",
        extra: "userdb_quota_rule=*:storage=1G userdb_acl_groups=timetable",
    },
    Person {
        address: POSTMASTER,
        name: "Postmaster",
        hash: "{SHA512-CRYPT}$6$Bd0Kh8oOOL8dKLzd$qvnAmwmojzaFOuA0C91qbjgqm0CoP1EeewRUF.nxWLZywkSiJoMRhkT0VWFFgvpDAQPX\
               dtppgjHbtBmWnDTdz/",
        extra: "userdb_quota_rule=*:storage=0 allow_nets=127.0.0.0/8,192.0.2.0/24",
    },
    Person {
        address: EMIL,
        name: "Emil Elm",
        hash: "{SHA512-CRYPT}$6$ocJ2isAjIhKtJ0Rl$sIJLrYznOtyKow85ll4PUSaccFUyys1KpU7VVBrtBW4SohFdmvsZFg7SLHr3GFNHQHrI\
               jY9E1IVNX6BACApJX/",
        extra: "userdb_quota_rule=*:storage=5G",
    },
    Person {
        address: FRIDA,
        name: "Frida Fir",
        hash: "{SSHA512}oyBMDME++YIK3pO2F4VVE9uoAGJEZAMMMwt9KHDYoXXJJske5WcqAX35p3VSFflygseC6ng2ZAJ1DGezzxc842dMS09t\
               eGdK",
        extra: "userdb_quota_rule=*:storage=5G",
    },
    Person {
        address: OHARA,
        name: "Siobhán O'Hara",
        hash: "{BLF-CRYPT}$2y$05$RnntQFMPcHRRWS48b5dl/etKLMSZNWC1oceI01T8TmPwlXbdLXhMW",
        extra: "",
    },
    Person {
        address: GERDA,
        name: "Gerda Gorse",
        hash: "{SHA512-CRYPT}$6$TeKdNnFRIBXuDL7D$XmSeW/.aH8mnd5wZftyvgy6BE20aFNaH158jVG4JOw.cU084RvOfc5qJn.HIZIlW9yMI\
               W4aBblHJ4dtqjV3xe/",
        extra: "userdb_quota_rule=*:storage=1G userdb_acl_groups=dispatch",
    },
    // No password: a room is booked, nobody logs in as one.
    Person { address: ROOM, name: "Meeting room 1", hash: "{CRYPT}*", extra: "" },
];

/// The hash of `pw-bert-2`, Bert's password after a day.
pub const BERT_SECOND_HASH: &str = "{SHA512-CRYPT}$6$xtpYlSXpfKtHF4vU$iKubsPLXFp8lB3DDVSzSnCTfaHYQ1osPFAH0Z1gvu7gf2\
                                    ifJ2OmH0aqeHzByAEe1g71.00n69tb1mCo.7Xhy71";
/// The hash of `pw-clara-3`, which Clara sets on the target.
pub const CLARA_THIRD_HASH: &str = "{SHA512-CRYPT}$6$De1f8rESQedUStPK$HGeCSmuMyQtMv563WFcCqiBAP4Ig1GrHqJWIKmkZN3b4p\
                                    HfGLpuxETBHC3LUtpfM6XSBWzNF31mKKnt27/r5q1";

/// Writes `etc/`.
pub fn write(tree: &Tree<'_>, time: i64) -> Result<(), SiteError> {
    let mut passwd = String::from("# user:password:uid:gid:gecos:home:shell:extra\n");
    for person in &PEOPLE {
        passwd.push_str(&passwd_line(person.address, person.hash, person.name, person.extra));
    }
    tree.file("etc/passwd", passwd, time)?;
    tree.file("etc/virtual_domains", "station.example OK\nwagon.example OK\ndepot.example OK\n", time)?;
    tree.file("etc/virtual_alias", VIRTUAL_ALIAS, time)
}

/// One line of a passwd-file. Dovecot finds a name with an apostrophe only if a backslash stands before it.
pub fn passwd_line(address: &str, hash: &str, gecos: &str, extra: &str) -> String {
    let (user, domain) = address.split_once('@').unwrap_or((address, ""));
    let login = address.replace('\'', "\\'");
    format!("{login}:{hash}:5000:5000:{gecos}:/var/vmail/{domain}/{user}::{extra}\n")
}

/// Lists, aliases, an alias domain, and a catch-all with the line of its own that every account beneath it needs.
const VIRTUAL_ALIAS: &str = "\
# lists
team@station.example\tann@station.example, bert@station.example, clara@station.example,
    emil@wagon.example
all@wagon.example\temil@wagon.example, frida@wagon.example, o'hara@wagon.example, gerda@wagon.example,
    team@station.example, partner@elsewhere.example
# aliases
info@station.example\tann@station.example
abuse@station.example\tpostmaster@station.example
sales@wagon.example\tfrida@wagon.example, bert@station.example
siobhan@wagon.example\to'hara@wagon.example
# depot.example repeats station.example
@depot.example\t@station.example
# whatever else is written to wagon.example
@wagon.example\tfrida@wagon.example
emil@wagon.example\temil@wagon.example
frida@wagon.example\tfrida@wagon.example
o'hara@wagon.example\to'hara@wagon.example
gerda@wagon.example\tgerda@wagon.example
";
