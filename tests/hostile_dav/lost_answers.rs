//! A server did what it was asked, and its answer was lost: what is asked again is done once, and what somebody else put
//! there meanwhile is not taken for ours. All of it on a single connection.

use super::http::{ADDRESS_BOOK, CALENDAR, Loss, Request, Shelf, losing};
use super::{ANN, delivery, work};
use stationwagon::model::mailbox::{Folder, FolderKey, FolderKind};
use stationwagon::site::Delivered;
use stationwagon::site::server::Store;

const LOSSES: [Loss; 2] = [Loss::Hangup, Loss::Gateway];

fn event(uid: &str, summary: &str) -> String {
    format!("BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nUID:{uid}\r\nSUMMARY:{summary}\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n")
}

/// It was done.
fn done(shelf: &mut Shelf, request: &Request) {
    shelf.answer(request);
}

fn holding(name: &str, text: String) -> Shelf {
    let mut shelf = Shelf::with(&["work", "other"]);
    shelf.items.insert(format!("/home/work/{name}"), text);
    shelf
}

fn other() -> FolderKey {
    FolderKey::new(FolderKind::Calendars, "other").unwrap()
}

#[test]
fn a_calendar_is_made_once() {
    for loss in LOSSES {
        let (store, shelf) = losing(Shelf::default(), "MKCALENDAR", loss, done);
        let folder = Folder { title: Some("Arbeit".to_owned()), ..Folder::at(work()) };
        let put = store.put_folder(ANN, &folder).unwrap().unwrap();
        assert_eq!((put.key, put.created, put.lost), (work(), true, Vec::new()), "{loss:?}");
        let made = shelf.lock().unwrap().collections.clone().into_iter().collect::<Vec<_>>();
        let title = "<d:displayname>Arbeit</d:displayname>";
        assert_eq!(made, [("/home/work/".to_owned(), format!("{CALENDAR}{title}"))], "{loss:?}");
    }
}

#[test]
fn an_address_book_of_the_same_name_that_somebody_made_meanwhile_stays_his() {
    let (store, shelf) = losing(Shelf::default(), "MKCALENDAR", Loss::Hangup, |shelf, request| {
        shelf.collections.insert(request.path.clone(), ADDRESS_BOOK.to_owned());
    });
    let put = store.put_folder(ANN, &Folder::at(work())).unwrap().unwrap();
    assert_eq!((put.key.path(), put.created), ("work-calendars", true));
    assert_eq!(shelf.lock().unwrap().collections["/home/work/"], ADDRESS_BOOK);
}

#[test]
fn a_calendar_that_somebody_made_and_filled_meanwhile_was_there_before_us() {
    let (store, _) = losing(Shelf::default(), "MKCALENDAR", Loss::Hangup, |shelf, request| {
        shelf.answer(request);
        shelf.items.insert("/home/work/his.ics".to_owned(), event("his@test", "his"));
    });
    let put = store.put_folder(ANN, &Folder::at(work())).unwrap().unwrap();
    assert_eq!((put.key, put.created), (work(), false));
}

#[test]
fn a_calendar_is_renamed_described_and_removed_once() {
    for loss in LOSSES {
        let (store, shelf) = losing(Shelf::with(&["work"]), "MOVE", loss, done);
        store.rename_folder(ANN, &work(), &other()).unwrap().unwrap();
        assert_eq!(shelf.lock().unwrap().collections.keys().collect::<Vec<_>>(), ["/home/other/"], "{loss:?}");

        let (store, shelf) = losing(Shelf::with(&["work"]), "PROPPATCH", loss, done);
        let folder = Folder { title: Some("Arbeit".to_owned()), ..Folder::at(work()) };
        let put = store.put_folder(ANN, &folder).unwrap().unwrap();
        assert_eq!((put.created, put.lost), (false, Vec::new()), "{loss:?}");
        assert!(shelf.lock().unwrap().collections["/home/work/"].contains("Arbeit"));

        let (store, shelf) = losing(Shelf::with(&["work"]), "DELETE", loss, done);
        store.remove_folder(ANN, &work()).unwrap().unwrap();
        assert!(shelf.lock().unwrap().collections.is_empty(), "{loss:?}");
    }
}

#[test]
fn a_new_name_that_somebody_took_meanwhile_is_no_renaming() {
    let (store, shelf) = losing(Shelf::with(&["work"]), "MOVE", Loss::Hangup, |shelf, _| {
        shelf.collections.insert("/home/other/".to_owned(), CALENDAR.to_owned());
    });
    let refused = store.rename_folder(ANN, &work(), &other()).unwrap().unwrap_err();
    assert!(refused.to_string().contains("412"), "{refused}");
    assert_eq!(shelf.lock().unwrap().collections.len(), 2);
}

#[test]
fn an_item_is_stored_once_as_it_is_or_as_its_server_writes_it() {
    for rewrites in [false, true] {
        for loss in LOSSES {
            let (store, shelf) = losing(Shelf { rewrites, ..Shelf::with(&["work"]) }, "PUT", loss, done);
            let (outcomes, _) =
                store.deliver(ANN, &work(), vec![delivery("one.ics", &event("one@test", "1"))]).unwrap();
            assert_eq!(outcomes, [Delivered::Done { uid: None }], "{loss:?}");
            assert_eq!(shelf.lock().unwrap().items.keys().collect::<Vec<_>>(), ["/home/work/one.ics"]);
        }
    }
}

#[test]
fn an_item_that_somebody_stored_under_the_name_stays_his() {
    let stored = |his: String| {
        let theirs = his.clone();
        let (store, shelf) = losing(Shelf::with(&["work"]), "PUT", Loss::Hangup, move |shelf, request| {
            shelf.items.insert(request.path.clone(), theirs.clone());
        });
        let (outcomes, _) = store.deliver(ANN, &work(), vec![delivery("one.ics", &event("one@test", "1"))]).unwrap();
        assert_eq!(shelf.lock().unwrap().items["/home/work/one.ics"], his);
        outcomes
    };
    let outcomes = stored(event("his@test", "his"));
    let [Delivered::Rejected(reason)] = outcomes.as_slice() else { panic!("{outcomes:?}") };
    assert!(reason.to_string().contains("another item was stored there meanwhile"), "{reason}");
    // Where no answer was lost, even the same event in other words is somebody else's.
    let shelf = holding("one.ics", event("one@test", "edited there"));
    let (store, _) = losing(shelf, "MOVE", Loss::Hangup, done);
    let (outcomes, _) = store.deliver(ANN, &work(), vec![delivery("one.ics", &event("one@test", "1"))]).unwrap();
    assert!(matches!(outcomes.as_slice(), [Delivered::Rejected(_)]), "{outcomes:?}");
}

#[test]
fn an_item_is_replaced_once_and_never_over_what_somebody_wrote_meanwhile() {
    let new = event("one@test", "new");
    for loss in LOSSES {
        let (store, shelf) = losing(holding("one.ics", event("one@test", "old")), "PUT", loss, done);
        assert!(store.replace_item(ANN, &work(), delivery("one.ics", &new)).unwrap(), "{loss:?}");
        assert_eq!(shelf.lock().unwrap().items["/home/work/one.ics"], new);
    }
    let his = event("one@test", "his");
    let theirs = his.clone();
    let (store, shelf) =
        losing(holding("one.ics", event("one@test", "old")), "PUT", Loss::Hangup, move |shelf, request| {
            shelf.items.insert(request.path.clone(), theirs.clone());
        });
    let error = store.replace_item(ANN, &work(), delivery("one.ics", &new)).unwrap_err().to_string();
    assert!(error.contains("it was changed there at this moment"), "{error}");
    assert_eq!(shelf.lock().unwrap().items["/home/work/one.ics"], his);
}

#[test]
fn an_item_is_removed_once_which_counts() {
    for loss in LOSSES {
        let (store, shelf) = losing(holding("one.ics", event("one@test", "1")), "DELETE", loss, done);
        assert!(store.remove_item(ANN, &work(), "one.ics").unwrap(), "{loss:?}");
        assert!(shelf.lock().unwrap().items.is_empty());
        assert!(!store.remove_item(ANN, &work(), "one.ics").unwrap(), "nothing was there, and no answer was lost");
    }
}

#[test]
fn an_item_is_moved_once_under_a_plain_name_and_under_one_that_is_copied() {
    for (name, lost) in [("one.ics", "MOVE"), ("a%20b.ics", "PUT"), ("a%20b.ics", "DELETE")] {
        for loss in LOSSES {
            let text = event("one@test", "1");
            let (store, shelf) = losing(holding(name, text.clone()), lost, loss, done);
            assert!(store.move_item(ANN, &work(), &name.replace("%20", " "), &other()).unwrap(), "{name} {loss:?}");
            let items = shelf.lock().unwrap().items.clone().into_iter().collect::<Vec<_>>();
            assert_eq!(items, [(format!("/home/other/{name}"), text)], "{lost} {loss:?}");
        }
    }
}

#[test]
fn an_item_whose_place_somebody_took_meanwhile_is_not_moved() {
    for (name, lost) in [("one.ics", "MOVE"), ("a%20b.ics", "PUT")] {
        let (store, shelf) = losing(holding(name, event("one@test", "1")), lost, Loss::Hangup, move |shelf, _| {
            shelf.items.insert(format!("/home/other/{name}"), event("his@test", "his"));
        });
        let error = store.move_item(ANN, &work(), &name.replace("%20", " "), &other()).unwrap_err().to_string();
        assert!(error.contains("412"), "{error}");
        let shelf = shelf.lock().unwrap();
        assert_eq!(shelf.items[&format!("/home/work/{name}")], event("one@test", "1"));
        assert_eq!(shelf.items[&format!("/home/other/{name}")], event("his@test", "his"));
    }
}
