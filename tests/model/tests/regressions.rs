//! Every known bug of the list has a test or a reason, and no test names a bug that the list does not know.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use outboard_model::regressions::{known, list, places};
use std::collections::BTreeSet;

#[test]
fn every_known_bug_is_named_by_a_test_or_can_not_occur() {
    let (known, places) = (known(&list().unwrap()).unwrap(), places().unwrap());
    let open: Vec<_> = known
        .iter()
        .filter(|bug| bug.impossible.is_none() && !places.contains_key(&bug.id))
        .map(|bug| &bug.id)
        .collect();
    assert!(open.is_empty(), "no test's name and no script begins with {open:?}");
    let both: Vec<_> = known
        .iter()
        .filter(|bug| bug.impossible.is_some() && places.contains_key(&bug.id))
        .map(|bug| &bug.id)
        .collect();
    assert!(both.is_empty(), "there are tests of what is said to be impossible: {both:?}");
}

#[test]
fn tests_name_only_bugs_of_the_list_and_the_list_is_whole() {
    let known: BTreeSet<String> = known(&list().unwrap()).unwrap().into_iter().map(|bug| bug.id).collect();
    let unknown: Vec<_> = places().unwrap().into_keys().filter(|id| !known.contains(id)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
    for (theme, count) in [('E', 20), ('P', 4), ('R', 11), ('C', 25), ('M', 22), ('N', 13), ('D', 7)] {
        let missing: Vec<_> = (1..=count).map(|n| format!("{theme}{n}")).filter(|id| !known.contains(id)).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }
    assert_eq!(known.len(), 102);
}
