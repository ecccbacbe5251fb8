//! A ManageSieve server that is busy, or whose connections end: it is asked again, within bounds, and each thing is done
//! once.

use super::sieve::{Scripts, Trouble, sieve};
use super::{ANN, delivery};
use stationwagon::limits;
use stationwagon::model::mailbox::{Folder, FolderKey, FolderKind};
use stationwagon::site::Delivered;
use stationwagon::site::server::Store;
use std::thread;

const BUSY: &str = "NO (TRYLATER) \"too much to do\"\r\n";

fn key() -> FolderKey {
    FolderKey::new(FolderKind::Filters, "sieve").unwrap()
}

/// Brings two scripts and makes one of them active, as an import does.
fn import(store: &impl Store) {
    store.put_folder(ANN, &Folder::at(key())).unwrap().unwrap();
    let batch = vec![delivery("main", "keep;\r\n"), delivery("spare", "stop;\r\n")];
    let (outcomes, _) = store.deliver(ANN, &key(), batch).unwrap();
    assert_eq!(outcomes, [Delivered::Done { uid: None }, Delivered::Done { uid: None }]);
    store.put_folder(ANN, &Folder { active: Some("main".to_owned()), ..Folder::at(key()) }).unwrap().unwrap();
}

fn assert_imported(scripts: &Scripts) {
    let there: Vec<_> = scripts.scripts.iter().map(|(name, text)| format!("{name}: {}", text.trim())).collect();
    assert_eq!(there, ["main: keep;", "spare: stop;"]);
    assert_eq!(scripts.active.as_deref(), Some("main"));
}

#[test]
fn a_busy_server_is_asked_again_whatever_it_was_asked() {
    let asked = |command: &'static str| {
        let busy = move |heard: &str, times: usize| (heard == command && times <= 2).then_some(Trouble::Says(BUSY));
        let (store, scripts) = sieve(Scripts::default(), 1, busy);
        import(&store);
        assert_imported(&scripts.lock().unwrap());
    };
    // Together, because the waits between are real.
    thread::scope(|scope| {
        for command in ["AUTHENTICATE", "LISTSCRIPTS", "HAVESPACE", "PUTSCRIPT", "SETACTIVE"] {
            scope.spawn(move || asked(command));
        }
    });
}

#[test]
fn a_server_that_stays_busy_is_left_alone_after_a_while_and_a_refusal_at_once() {
    let always = |said: &'static str| {
        let (store, scripts) = sieve(Scripts::default(), 1, move |_, _| Some(Trouble::Says(said)));
        let error = store.mailbox(ANN).unwrap_err();
        let told = format!("{error}: {}", error.as_reason());
        let logins = scripts.lock().unwrap().count("AUTHENTICATE");
        (told, logins)
    };
    let (told, logins) = always(BUSY);
    assert!(told.contains("it is busy: too much to do") && !told.contains("refused"), "{told}");
    assert_eq!(logins, limits::SERVER_RETRIES + 1);
    let (told, logins) = always("NO \"who are you\"\r\n");
    assert!(told.contains("the login for ann@a.test was refused: who are you"), "{told}");
    assert_eq!(logins, 1);
}

#[test]
fn a_fresh_connection_that_ends_is_made_again_and_not_for_ever() {
    let (store, scripts) =
        sieve(Scripts::default(), 1, |heard, times| (heard == "LISTSCRIPTS" && times == 1).then_some(Trouble::Lost));
    assert!(store.mailbox(ANN).unwrap().folders.is_empty());
    assert_eq!(scripts.lock().unwrap().count("AUTHENTICATE"), 2);
    let bye = |heard: &str, _: usize| (heard == "LISTSCRIPTS").then_some(Trouble::Says("BYE \"restarting\"\r\n"));
    let (store, scripts) = sieve(Scripts::default(), 1, bye);
    let error = store.mailbox(ANN).unwrap_err().as_reason().to_string();
    assert!(error.contains("restarting"), "{error}");
    assert_eq!(scripts.lock().unwrap().count("AUTHENTICATE"), limits::SERVER_RETRIES + 1);
}

#[test]
fn what_was_done_before_its_answer_was_lost_is_done_once() {
    for command in ["PUTSCRIPT", "SETACTIVE"] {
        let lost = move |heard: &str, times: usize| (heard == command && times == 1).then_some(Trouble::Lost);
        let (store, scripts) = sieve(Scripts::default(), 1, lost);
        import(&store);
        let scripts = scripts.lock().unwrap();
        assert_imported(&scripts);
        assert_eq!((scripts.count("PUTSCRIPT"), scripts.count("SETACTIVE")), (2, 1), "{command}");
    }
    let lost = |heard: &str, times: usize| (heard == "DELETESCRIPT" && times == 1).then_some(Trouble::Lost);
    let one = [("main".to_owned(), "keep;\r\n".to_owned())].into();
    let (store, scripts) =
        sieve(Scripts { scripts: one, active: Some("main".to_owned()), ..Scripts::default() }, 1, lost);
    assert!(store.remove_item(ANN, &key(), "main").unwrap(), "it was there, and is removed");
    assert_eq!(scripts.lock().unwrap().count("DELETESCRIPT"), 1);
    assert!(!store.remove_item(ANN, &key(), "main").unwrap());
}

#[test]
fn a_script_that_somebody_made_meanwhile_stays_his() {
    let (store, scripts) = sieve(Scripts::default(), 1, |_, _| None);
    store.put_folder(ANN, &Folder::at(key())).unwrap().unwrap();
    scripts.lock().unwrap().scripts.insert("main".to_owned(), "discard;\r\n".to_owned());
    let (outcomes, _) = store.deliver(ANN, &key(), vec![delivery("main", "keep;\r\n")]).unwrap();
    assert!(matches!(outcomes.as_slice(), [Delivered::Rejected(_)]), "{outcomes:?}");
    assert_eq!(scripts.lock().unwrap().scripts["main"], "discard;\r\n");
}
