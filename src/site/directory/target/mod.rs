mod dotlock;
mod hand;
mod listing;
mod mail_delivery;
mod names;
mod place;
mod uid_file;
mod uids;
