//! Maintenance windows: as they were said they come back, and nobody overwrites anybody.

use model::{
    Amended, Cover, CoverKind, Day, IncidentId, LogPosition, MaintenanceId, Occurrence, Rule,
    Window, Zone,
};
use store::{
    Actor, IncidentSave, IncidentStep, IncidentTurn, Maintained, MaintenanceDraft, Scope,
    StoreError,
};

use crate::{at, fixture, incidents::save, name, new_target};

fn draft(title: &str, (start, end): (i64, i64), rule: &str) -> MaintenanceDraft {
    let rule = (!rule.is_empty()).then(|| Rule::parse(rule).unwrap());
    let except = if rule.is_some() { vec![Day::parse("2027-12-24").unwrap()] } else { Vec::new() };
    let zone = Zone::parse("Europe/Berlin").unwrap();
    let covers = [(CoverKind::Element, "r\"1"), (CoverKind::All, "")];
    MaintenanceDraft {
        title: title.to_owned(),
        note: "a\nnote".to_owned(),
        covers: covers.map(|(kind, name)| Cover::parse(kind, name).unwrap()).to_vec(),
        window: Window::new((at(start), at(end)), zone, rule, except).unwrap(),
    }
}

#[tokio::test]
async fn a_window_comes_back_as_it_was_said_and_changed() {
    let f = fixture().await;
    let new = draft("weekly", (0, 3_600), "FREQ=WEEKLY;COUNT=9");
    let made = f.store.maintenance_create(&f.scope, &new, at(-60)).await.unwrap();
    assert_eq!((made.id, &made.draft), (MaintenanceId(1), &new));
    let amended = vec![Amended { start: at(0), end: at(7_200) }];
    let window = new.window.clone().amended(amended, Some(at(900_000)));
    let after = MaintenanceDraft { window, ..new };
    let action = ("maintenance.extend", at(10));
    let set = f.store.maintenance_set(&f.scope, &made, &after, action).await.unwrap();
    assert_eq!(set.draft, after);
    assert_eq!(f.store.maintenance_get(&f.scope, made.id).await.unwrap(), set);
    let stale = f.store.maintenance_set(&f.scope, &made, &after, action).await;
    assert!(matches!(stale, Err(StoreError::Stale { .. })), "somebody changed it: {stale:?}");
    let missing = f.store.maintenance_get(&f.scope, MaintenanceId(9)).await;
    assert!(matches!(missing, Err(StoreError::NotFound { .. })));
}

#[tokio::test]
async fn windows_are_found_by_the_time_they_may_touch() {
    let f = fixture().await;
    for (title, time, rule) in [
        ("past", (0, 3_600), ""),
        ("endless", (600, 4_200), "FREQ=DAILY"),
        ("later", (100_000, 103_600), ""),
    ] {
        f.store.maintenance_create(&f.scope, &draft(title, time, rule), at(0)).await.unwrap();
    }
    let within = async |start, end| {
        let time = Occurrence { start: at(start), end: at(end) };
        let rows = f.store.maintenance_within(&f.scope, time).await.unwrap();
        rows.into_iter().map(|row| row.draft.title).collect::<Vec<_>>()
    };
    assert_eq!(within(0, 500).await, ["past"]);
    assert_eq!(within(3_599, 5_000).await, ["past", "endless"]);
    assert_eq!(within(3_600, 5_000).await, ["endless"]);
    assert_eq!(within(3_600, 1_000_000).await, ["endless", "later"]);
    let past = f.store.maintenance_past(&f.scope, at(3_600), (None, 10)).await.unwrap();
    let past: Vec<&str> = past.iter().map(|row| row.draft.title.as_str()).collect();
    assert_eq!(past, ["past"]);
}

#[tokio::test]
async fn names_of_targets_come_by_their_tags_each_once() {
    let f = fixture().await;
    for (target, tags) in [("b", &["vip", "fra"][..]), ("a", &["vip"]), ("c", &[])] {
        let tags = tags.iter().map(|tag| name(tag)).collect();
        let new = store::NewTarget { tags, ..new_target(target, "192.0.2.1") };
        f.store.target_create(&f.scope, &new, at(0)).await.unwrap();
    }
    let tagged = async |tags: &[&str]| {
        let tags: Vec<String> = tags.iter().map(|tag| (*tag).to_owned()).collect();
        f.store.target_names_tagged(&f.scope, &tags).await.unwrap()
    };
    assert_eq!(tagged(&["vip", "fra"]).await, ["a", "b"]);
    assert_eq!(tagged(&["fra"]).await, ["b"]);
    assert_eq!(tagged(&[]).await, Vec::<String>::new());
}

/// What is written of an incident says whether people know it.
#[tokio::test]
async fn an_incident_keeps_its_window_and_whether_it_is_silent() {
    let f = fixture().await;
    let marked = |step, revision, is_silent| IncidentSave {
        maintenance: Some(Maintained { window: MaintenanceId(3), is_silent }),
        ..save(1, step, revision)
    };
    let steps = [(IncidentStep::Opened, true), (IncidentStep::NotBack, false)];
    for (turn, (step, is_silent)) in (1..).zip(steps) {
        let saves = vec![marked(step, turn, is_silent)];
        let turn = IncidentTurn {
            run: 1,
            turn: u64::from(turn),
            at: at(i64::from(turn)),
            inventory_version: 1,
            log_position: LogPosition(0),
            next: 2,
            saves,
            tells: Vec::new(),
            traced: Vec::new(),
        };
        f.store.incidents_take(&f.scope, &turn).await.unwrap();
        let full = f.store.incident_get(&f.scope, IncidentId(1)).await.unwrap();
        let maintenance = Some(Maintained { window: MaintenanceId(3), is_silent });
        assert_eq!(full.row.maintenance, maintenance);
        assert_eq!(full.entries.last().unwrap().is_told, !is_silent);
        let kept = f.store.incidents_kept(&f.scope, at(0)).await.unwrap();
        assert_eq!(kept.incidents[0].row.maintenance, maintenance, "after a restart");
    }
}

#[tokio::test]
async fn who_planned_it_is_kept_with_it() {
    let f = fixture().await;
    let actor = Actor::User { id: model::UserId(1), name: name("ann") };
    let scope = Scope { actor, ..f.scope.clone() };
    let new = draft("once", (0, 3_600), "");
    let made = f.store.maintenance_create(&scope, &new, at(0)).await.unwrap();
    assert_eq!((made.created_by.as_str(), made.created_at), ("ann", at(0)));
    let audit = f.store.audit_list(&f.scope, None, 1).await.unwrap();
    assert_eq!(
        (audit[0].action.as_str(), audit[0].object_name.as_str()),
        ("maintenance.create", "once")
    );
}
