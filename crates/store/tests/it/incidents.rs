//! Incidents: a judgement is written once and as a whole; what people do stays beside it.

use model::{
    CauseCode, ElementKind, EntryKind, FaultMode, IncidentId, IncidentState, LogPosition, Severity,
    UserId,
};
use store::{
    ActRefused, Actor, CauseBody, DIGEST_NAMED_MAX, DigestAfter, ENTRIES_MAX, ImpactBody,
    IncidentAct, IncidentBody, IncidentDigest, IncidentQuery, IncidentSave, IncidentSort,
    IncidentStep, IncidentTurn, NewMessage, REVISIONS_MAX, Retention, Scope, StoreError,
    SuppressedBody,
};

use crate::{Fixture, at, fixture, name, rollups_before};

fn body(element: &str, targets_down: u32) -> IncidentBody {
    let cause = CauseBody {
        elements: vec![element.to_owned()],
        kind: ElementKind::Link,
        mode: FaultMode::Down,
        loss_ppm: None,
        rtt_us_added: None,
        probability: 0.97,
        evidence: Vec::new(),
        to_disambiguate: None,
    };
    let suppressed = SuppressedBody { target: "t1".to_owned(), reason: "why".to_owned() };
    IncidentBody {
        causes: vec![cause],
        other_probability: 0.03,
        impact: ImpactBody { targets_down, ..ImpactBody::default() },
        suppressed: vec![suppressed],
        suppressed_total: 1,
    }
}

pub(crate) fn save(id: u32, step: IncidentStep, revision: u32) -> IncidentSave {
    IncidentSave {
        id: IncidentId(id),
        step,
        note: format!("{step:?}"),
        revision,
        severity: Severity::Major,
        onset: (at(0), at(1)),
        sentence: format!("link r1--r2 is down ({revision})"),
        body: body("r1--r2", 1),
        pairs: vec![("ag1".to_owned(), "t1".to_owned())],
        message: None,
        maintenance: None,
    }
}

fn told(save: IncidentSave) -> IncidentSave {
    let message = NewMessage {
        key: format!("incident-{}-{}", save.id, save.revision),
        kind: "incident".to_owned(),
        subject: format!("incident-{}", save.id),
        body: "{}".to_owned(),
    };
    IncidentSave { message: Some(message), ..save }
}

fn close(note: &str) -> IncidentAct {
    IncidentAct::Close { code: CauseCode::Line, note: note.to_owned(), is_forced: true }
}

fn turn(turn: u64, saves: Vec<IncidentSave>) -> IncidentTurn {
    IncidentTurn {
        run: 7,
        turn,
        at: at(i64::try_from(turn).unwrap()),
        inventory_version: 3,
        log_position: LogPosition(99),
        next: 4,
        saves,
        tells: Vec::new(),
        traced: Vec::new(),
    }
}

impl Fixture {
    async fn take(&self, turn: &IncidentTurn) {
        self.store.incidents_take(&self.scope, turn).await.unwrap();
    }

    async fn act(&self, id: u32, act: IncidentAct) -> Result<IncidentState, StoreError> {
        self.act_as(&self.scope, id, act).await
    }

    async fn act_as(
        &self,
        scope: &Scope,
        id: u32,
        act: IncidentAct,
    ) -> Result<IncidentState, StoreError> {
        let done = self.store.incident_act(scope, IncidentId(id), &act, None, at(500)).await?;
        Ok(done.0.row.state)
    }

    /// What a person is told who cannot do that.
    async fn refused(&self, scope: &Scope, id: u32, act: IncidentAct) -> String {
        match self.act_as(scope, id, act).await {
            Err(StoreError::ActRefused { source }) => source.to_string(),
            other => panic!("{other:?}"),
        }
    }

    async fn kinds(&self, id: u32) -> Vec<EntryKind> {
        let full = self.store.incident_get(&self.scope, IncidentId(id)).await.unwrap();
        full.entries.iter().map(|entry| entry.kind).collect()
    }

    async fn found(&self, query: IncidentQuery) -> Vec<u32> {
        let query = IncidentQuery { limit: 10, ..query };
        let page = self.store.incident_list(&self.scope, &query).await.unwrap();
        page.rows.iter().map(|row| row.id.0).collect()
    }
}

#[tokio::test]
async fn a_judgement_that_is_written_twice_is_there_once_with_its_message() {
    let f = fixture().await;
    let opened = turn(1, vec![told(save(1, IncidentStep::Opened, 1))]);
    f.take(&opened).await;
    f.take(&opened).await;
    assert_eq!(f.kinds(1).await, [EntryKind::Opened]);
    assert_eq!(f.ask("SELECT count(*) FROM message").await, [1]);
    let full = f.store.incident_get(&f.scope, IncidentId(1)).await.unwrap();
    assert_eq!((full.row.state, full.row.inventory_version), (IncidentState::Open, 3));
    assert_eq!(full.body, body("r1--r2", 1));
    assert!(full.entries[0].is_told);
}

#[tokio::test]
async fn a_judgement_that_fails_leaves_nothing_and_is_written_when_it_comes_again() {
    let f = fixture().await;
    // The second of two cannot be written: there is no incident 9 to revise.
    let bad = save(9, IncidentStep::Revised, 2);
    let half = turn(1, vec![told(save(1, IncidentStep::Opened, 1)), bad]);
    assert!(f.store.incidents_take(&f.scope, &half).await.is_err());
    assert_eq!(f.ask("SELECT count(*) FROM message").await, [0], "nothing is told of it");
    assert_eq!(f.found(IncidentQuery::default()).await, Vec::<u32>::new());
    f.take(&turn(1, vec![told(save(1, IncidentStep::Opened, 1))])).await;
    assert_eq!(f.found(IncidentQuery::default()).await, [1]);
}

#[tokio::test]
async fn what_is_followed_goes_on_also_when_a_person_closed_it() {
    let f = fixture().await;
    let opened = (1..=3).map(|id| save(id, IncidentStep::Opened, 1)).collect();
    f.take(&turn(1, opened)).await;
    f.take(&turn(2, vec![save(2, IncidentStep::Resolved, 2)])).await;
    assert_eq!(f.act(3, close("")).await.unwrap(), IncidentState::Closed);
    let kept = f.store.incidents_kept(&f.scope, at(1)).await.unwrap();
    let told: Vec<(u32, bool)> =
        kept.incidents.iter().map(|one| (one.row.id.0, one.row.is_followed)).collect();
    assert_eq!((kept.next, told), (4, vec![(1, true), (2, false), (3, true)]));
    assert_eq!(kept.incidents[0].pairs, [("ag1".to_owned(), "t1".to_owned())]);
    let later = f.store.incidents_kept(&f.scope, at(2)).await.unwrap();
    assert_eq!(later.incidents.len(), 2, "what was resolved long ago is over");
    // Another cause is no longer what it was closed as.
    f.take(&turn(3, vec![save(3, IncidentStep::CauseChanged, 2)])).await;
    let full = f.store.incident_get(&f.scope, IncidentId(3)).await.unwrap();
    assert_eq!((full.row.state, full.row.close_code), (IncidentState::Open, None));
    // What a person closed and is over stays closed.
    f.act(1, close("fuse")).await.unwrap();
    f.take(&turn(4, vec![save(1, IncidentStep::Resolved, 2)])).await;
    let full = f.store.incident_get(&f.scope, IncidentId(1)).await.unwrap();
    assert_eq!(full.row.state, IncidentState::Closed);
    let notes: Vec<&str> = full.entries.iter().map(|entry| entry.note.as_str()).collect();
    assert_eq!(notes, ["Opened", "line: fuse", "Resolved"]);
}

#[tokio::test]
async fn people_acknowledge_assign_comment_and_reopen_and_it_is_audited() {
    let f = fixture().await;
    f.take(&turn(1, vec![save(1, IncidentStep::Opened, 1)])).await;
    f.act(1, IncidentAct::Acknowledge).await.unwrap();
    f.act(1, IncidentAct::Assign(Some((UserId(7), name("ann"))))).await.unwrap();
    f.act(1, IncidentAct::Comment("on my way".to_owned())).await.unwrap();
    f.act(1, close("")).await.unwrap();
    f.act(1, IncidentAct::Reopen { note: "not at all".to_owned() }).await.unwrap();
    let kinds = [
        EntryKind::Opened,
        EntryKind::Acknowledged,
        EntryKind::Assigned,
        EntryKind::Commented,
        EntryKind::Closed,
        EntryKind::Reopened,
    ];
    assert_eq!(f.kinds(1).await, kinds);
    let page = f.store.incident_list(&f.scope, &IncidentQuery::default()).await.unwrap();
    assert_eq!((page.open, page.unacknowledged), (1, 0));
    assert_eq!(
        (page.rows[0].owner.as_str(), page.rows[0].acknowledged_by.as_str()),
        ("ann", "system")
    );
    let audit = f.store.audit_list(&f.scope, None, 10).await.unwrap();
    assert_eq!(
        (audit[0].action.as_str(), audit[0].object_name.as_str()),
        ("incident.reopen", "#1")
    );
    assert!(matches!(f.act(2, IncidentAct::Acknowledge).await, Err(StoreError::NotFound { .. })));
}

impl Fixture {
    async fn digest(&self, after: DigestAfter, until: i64) -> Option<IncidentDigest> {
        self.store.incident_digest(&self.scope, after, at(until)).await.unwrap()
    }
}

#[tokio::test]
async fn a_digest_begins_with_what_was_not_told_and_goes_on_after_the_last_entry_it_counted() {
    let f = fixture().await;
    let ever = DigestAfter::Time(at(-1));
    f.take(&turn(1, vec![told(save(1, IncidentStep::Opened, 1))])).await;
    assert_eq!(f.digest(ever, 1_000).await, None, "all was told");
    f.take(&turn(2, vec![save(1, IncidentStep::Revised, 2)])).await;
    f.take(&turn(900, vec![save(1, IncidentStep::Revised, 3)])).await;
    let first = f.digest(ever, 899).await.unwrap();
    assert_eq!((&first.happened, first.since), (&[(EntryKind::Revised, 1)].into(), at(2)));
    assert_eq!(f.digest(DigestAfter::Time(at(900)), 1_000).await, None);

    // Written when the digest of its time was sent already.
    let late = IncidentTurn { at: at(3), ..turn(901, vec![save(1, IncidentStep::Revised, 4)]) };
    f.take(&late).await;
    let next = f.digest(DigestAfter::Entry(first.last_entry), 1_000).await.unwrap();
    assert_eq!((&next.happened, next.since), (&[(EntryKind::Revised, 2)].into(), at(3)));
    assert_eq!(f.digest(DigestAfter::Entry(next.last_entry), 1_000).await, None);

    // What was told before something was not is no part of it.
    f.take(&turn(902, vec![told(save(1, IncidentStep::CauseChanged, 5))])).await;
    f.take(&turn(903, vec![save(1, IncidentStep::Revised, 6)])).await;
    let last = f.digest(DigestAfter::Entry(next.last_entry), 1_000).await.unwrap();
    assert_eq!(last.happened, [(EntryKind::Revised, 1)].into());
}

#[tokio::test]
async fn a_digest_counts_all_that_changed_names_the_worst_and_knows_what_people_did() {
    let f = fixture().await;
    let many = u32::try_from(DIGEST_NAMED_MAX).unwrap() + 2;
    let worst =
        |step, revision| IncidentSave { severity: Severity::Critical, ..save(2, step, revision) };
    let opened = |id| match id {
        2 => worst(IncidentStep::Opened, 1),
        id => save(id, IncidentStep::Opened, 1),
    };
    f.take(&turn(1, (1..=many).map(opened).collect())).await;
    f.take(&turn(2, vec![worst(IncidentStep::Revised, 2)])).await;
    let user = Actor::User { id: UserId(7), name: name("ann") };
    let ann = Scope { actor: user, ..f.scope.clone() };
    f.act_as(&ann, 1, close("")).await.unwrap();
    f.act_as(&ann, 1, IncidentAct::Reopen { note: String::new() }).await.unwrap();
    let digest = f.digest(DigestAfter::Entry(0), 1_000).await.unwrap();
    assert_eq!((digest.incidents_total, digest.incidents.len()), (many, DIGEST_NAMED_MAX));
    assert_eq!((digest.suppressed_total, digest.is_suppressed_more), (many as usize, false));
    assert_eq!((digest.incidents[0].id, digest.incidents[0].untold), (IncidentId(2), 2));
    assert_eq!((digest.by_people, digest.happened[&EntryKind::Reopened]), (2, 1));
}

#[tokio::test]
async fn incidents_are_found_by_state_time_owner_and_what_they_named() {
    let f = fixture().await;
    let other = IncidentSave { body: body("r8--r9", 1), ..save(2, IncidentStep::Opened, 1) };
    let saves = vec![save(1, IncidentStep::Opened, 1), other, save(3, IncidentStep::Opened, 1)];
    f.take(&turn(1, saves)).await;
    f.take(&turn(100, vec![save(3, IncidentStep::Merged { into: IncidentId(1) }, 2)])).await;
    f.act(2, IncidentAct::Assign(Some((UserId(7), name("ann"))))).await.unwrap();
    let all = IncidentQuery::default;
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(f.found(all()).await, [3, 2, 1]);
    assert_eq!(f.found(IncidentQuery { states: vec![IncidentState::Open], ..all() }).await, [2, 1]);
    assert_eq!(f.found(IncidentQuery { until: Some(at(1)), ..all() }).await, Vec::<u32>::new());
    assert_eq!(f.found(IncidentQuery { until: Some(at(2)), ..all() }).await, [3, 2, 1]);
    assert_eq!(f.found(IncidentQuery { q: text("R1--R2 is"), ..all() }).await, [3, 2, 1]);
    assert_eq!(f.found(IncidentQuery { q: text("#2"), ..all() }).await, [2]);
    assert_eq!(f.found(IncidentQuery { q: text("%"), ..all() }).await, Vec::<u32>::new());
    assert_eq!(f.found(IncidentQuery { since: Some(at(101)), ..all() }).await, [2, 1]);
    assert_eq!(f.found(IncidentQuery { since: Some(at(100)), ..all() }).await, [3, 2, 1]);
    assert_eq!(f.found(IncidentQuery { element: text("r8--r9"), ..all() }).await, [2]);
    assert_eq!(f.found(IncidentQuery { target: text("t1"), ..all() }).await, [3, 2, 1]);
    assert_eq!(f.found(IncidentQuery { owner: text("ann"), ..all() }).await, [2]);
    assert_eq!(f.found(IncidentQuery { owner: text(""), ..all() }).await, [3, 1]);
    let page = IncidentQuery { limit: 2, ..all() };
    let page = f.store.incident_list(&f.scope, &page).await.unwrap();
    assert_eq!(f.found(IncidentQuery { after: page.next, ..all() }).await, [1]);
    let merged = f.store.incident_get(&f.scope, IncidentId(3)).await.unwrap();
    assert_eq!(merged.row.merged_into, Some(IncidentId(1)));
    let stranger = store::Scope::system(model::OrgId(2));
    assert!(f.store.incident_get(&stranger, IncidentId(1)).await.is_err());
}

#[tokio::test]
async fn each_order_goes_on_where_its_page_ended_and_takes_no_cursor_of_another() {
    let f = fixture().await;
    let heavy = |id: u32, severity: Severity, weight: u64| {
        let mut save = IncidentSave { severity, ..save(id, IncidentStep::Opened, 1) };
        save.body.impact.weight = weight;
        save
    };
    let saves = vec![
        heavy(1, Severity::Minor, 7),
        heavy(2, Severity::Critical, 5),
        heavy(3, Severity::Minor, 9),
        heavy(4, Severity::Warning, 7),
    ];
    f.take(&turn(1, saves)).await;
    for (sort, expected) in [
        (IncidentSort::Newest, [4, 3, 2, 1]),
        (IncidentSort::Oldest, [1, 2, 3, 4]),
        (IncidentSort::Severity, [2, 3, 1, 4]),
        (IncidentSort::Impact, [3, 4, 1, 2]),
    ] {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let query = IncidentQuery { sort, after, limit: 1, ..IncidentQuery::default() };
            let page = f.store.incident_list(&f.scope, &query).await.unwrap();
            found.extend(page.rows.iter().map(|row| row.id.0));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(found, expected, "{sort:?}");
    }
    for cursor in ["n.3", "s.1", "s.x.1", "", "i.9.3.1"] {
        let (sort, after) = (IncidentSort::Severity, Some(cursor.to_owned()));
        let query = IncidentQuery { sort, after, limit: 1, ..IncidentQuery::default() };
        let page = f.store.incident_list(&f.scope, &query).await;
        assert!(matches!(page, Err(StoreError::CursorInvalid)), "{cursor}");
    }
    let severities = vec![Severity::Warning, Severity::Critical];
    assert_eq!(f.found(IncidentQuery { severities, ..IncidentQuery::default() }).await, [4, 2]);
}

/// A person of this name.
fn person(f: &Fixture, id: u32, called: &str) -> Scope {
    Scope { org: f.scope.org, actor: Actor::User { id: UserId(id), name: name(called) } }
}

#[tokio::test]
async fn who_presses_twice_does_it_once_and_who_comes_second_is_told_who_was_first() {
    let f = fixture().await;
    let (ann, bob) = (person(&f, 7, "ann"), person(&f, 8, "bob"));
    f.take(&turn(1, vec![save(1, IncidentStep::Opened, 1)])).await;
    let comment = || IncidentAct::Comment("on my way".to_owned());
    for act in [IncidentAct::Acknowledge, comment(), close("cut")] {
        f.act_as(&ann, 1, act.clone()).await.unwrap();
        f.act_as(&ann, 1, act).await.unwrap();
    }
    let kinds =
        [EntryKind::Opened, EntryKind::Acknowledged, EntryKind::Commented, EntryKind::Closed];
    assert_eq!(f.kinds(1).await, kinds);
    let told = [
        f.refused(&bob, 1, IncidentAct::Acknowledge).await,
        f.refused(&bob, 1, close("power")).await,
    ];
    let at = at(500);
    assert_eq!(told[0], format!("ann acknowledged it already, at {at}"));
    assert_eq!(told[1], format!("ann closed it already, at {at} (line: cut)"));
    // Somebody else says the same: that is another comment.
    f.act_as(&bob, 1, comment()).await.unwrap();
    assert_eq!(f.kinds(1).await.len(), 5);
    // It can be given back, and taken by another.
    f.act_as(&ann, 1, IncidentAct::Reopen { note: String::new() }).await.unwrap();
    f.act_as(&ann, 1, IncidentAct::Unacknowledge).await.unwrap();
    f.act_as(&bob, 1, IncidentAct::Acknowledge).await.unwrap();
    let full = f.store.incident_get(&f.scope, IncidentId(1)).await.unwrap();
    assert_eq!(full.row.acknowledged_by, "bob");
}

#[tokio::test]
async fn what_was_done_since_it_was_read_is_told_and_new_figures_are_nothing_done() {
    let f = fixture().await;
    let (ann, bob) = (person(&f, 7, "ann"), person(&f, 8, "bob"));
    f.take(&turn(1, vec![save(1, IncidentStep::Opened, 1)])).await;
    let get = async || f.store.incident_get(&f.scope, IncidentId(1)).await.unwrap();
    let seen = get().await.version();
    f.take(&turn(2, vec![save(1, IncidentStep::Revised, 2)])).await;
    assert_eq!(get().await.version(), seen);
    let assign = |id, called| IncidentAct::Assign(Some((UserId(id), name(called))));
    let act = async |scope: &Scope, act: IncidentAct| {
        f.store.incident_act(scope, IncidentId(1), &act, Some(seen), at(500)).await
    };
    assert!(act(&ann, assign(7, "ann")).await.unwrap().1, "it changed");
    assert!(!act(&ann, assign(7, "ann")).await.unwrap().1, "pressed twice");
    let Err(StoreError::ActRefused { source }) = act(&bob, assign(8, "bob")).await else {
        panic!("bob would take it from ann without knowing")
    };
    let told = format!("since you read it, ann assigned it to ann at {}: read it again", at(500));
    assert_eq!(source.to_string(), told);
    assert_eq!(get().await.row.owner, "ann");
}

#[tokio::test]
async fn what_is_still_seen_is_closed_by_force_and_open_again_when_it_gets_worse() {
    let f = fixture().await;
    f.take(&turn(1, vec![told(save(1, IncidentStep::Opened, 1))])).await;
    let gently =
        IncidentAct::Close { code: CauseCode::Line, note: String::new(), is_forced: false };
    let refused = f.refused(&f.scope, 1, gently.clone()).await;
    assert!(refused.starts_with("what it is about is still seen (targets down: 1)"), "{refused}");
    f.act(1, IncidentAct::Acknowledge).await.unwrap();
    assert_eq!(f.act(1, close("")).await.unwrap(), IncidentState::Closed);
    // As bad as before it is silent.
    f.take(&turn(2, vec![save(1, IncidentStep::Revised, 2)])).await;
    assert_eq!(f.ask("SELECT count(*) FROM message").await, [1]);
    let worse = |revision| {
        let save = told(save(1, IncidentStep::Worsened, revision));
        IncidentSave { severity: Severity::Critical, ..save }
    };
    f.take(&turn(3, vec![worse(3)])).await;
    let full = f.store.incident_get(&f.scope, IncidentId(1)).await.unwrap();
    assert_eq!((full.row.state, full.row.severity), (IncidentState::Open, Severity::Critical));
    assert_eq!(full.row.acknowledged_at, None, "nobody has seen that it is worse");
    assert_eq!(f.ask("SELECT count(*) FROM message").await, [2]);
    // While it is open, that it got worse is a revision and no message.
    f.take(&turn(4, vec![worse(4)])).await;
    assert_eq!(f.kinds(1).await.last(), Some(&EntryKind::Revised));
    assert_eq!(f.ask("SELECT count(*) FROM message").await, [2]);
    f.take(&turn(5, vec![save(1, IncidentStep::Resolved, 5)])).await;
    assert_eq!(f.act(1, gently).await.unwrap(), IncidentState::Closed, "what is over needs none");
}

#[tokio::test]
async fn a_closing_is_taken_back_to_what_it_would_be_and_what_is_over_is_not_reopened() {
    let f = fixture().await;
    let reopen = || IncidentAct::Reopen { note: String::new() };
    f.take(&turn(1, vec![save(1, IncidentStep::Opened, 1)])).await;
    assert_eq!(f.refused(&f.scope, 1, reopen()).await, "it is open");
    f.act(1, close("")).await.unwrap();
    assert_eq!(f.act(1, reopen()).await.unwrap(), IncidentState::Open);
    assert_eq!(f.act(1, reopen()).await.unwrap(), IncidentState::Open, "pressed twice");
    f.take(&turn(2, vec![save(1, IncidentStep::Resolved, 2)])).await;
    let refused = f.refused(&f.scope, 1, reopen()).await;
    assert_eq!(refused, ActRefused::Over { at: at(2) }.to_string());
    assert_eq!(
        f.refused(&f.scope, 1, IncidentAct::Acknowledge).await,
        ActRefused::Past.to_string()
    );
    f.act(1, close("")).await.unwrap();
    let kept = f.store.incidents_kept(&f.scope, at(1)).await.unwrap();
    assert_eq!(kept.incidents.len(), 1, "what fails again after a restart is known, though closed");
    assert_eq!(f.act(1, reopen()).await.unwrap(), IncidentState::Resolved);
    // It fails again soon: the same incident, whoever closed it.
    f.act(1, close("")).await.unwrap();
    f.take(&turn(3, vec![save(1, IncidentStep::Reopened, 3)])).await;
    let full = f.store.incident_get(&f.scope, IncidentId(1)).await.unwrap();
    assert_eq!((full.row.state, full.row.close_code), (IncidentState::Open, None));
}

#[tokio::test]
async fn of_many_revisions_the_first_and_the_last_are_kept_and_timelines_end() {
    let f = fixture().await;
    f.take(&turn(1, vec![save(1, IncidentStep::Opened, 1)])).await;
    let mut saves = Vec::new();
    for revision in 2..=ENTRIES_MAX + 10 {
        saves.push(save(1, IncidentStep::Revised, revision));
    }
    f.take(&turn(2, saves)).await;
    let revisions = f.store.incident_revisions(&f.scope, IncidentId(1)).await.unwrap();
    assert_eq!(revisions.len(), REVISIONS_MAX as usize);
    assert_eq!((revisions[0].revision, revisions[1].revision), (1, ENTRIES_MAX + 10 - 198));
    let kinds = f.kinds(1).await;
    assert_eq!((kinds.len(), kinds[0]), (ENTRIES_MAX as usize, EntryKind::Opened));
}

#[tokio::test]
async fn what_is_over_long_ago_is_forgotten_with_all_of_it_and_what_is_open_is_not() {
    let f = fixture().await;
    let opened = (1..=2).map(|id| save(id, IncidentStep::Opened, 1)).collect();
    f.take(&turn(1, opened)).await;
    f.take(&turn(2, vec![save(1, IncidentStep::Resolved, 2)])).await;
    let retention = |before| Retention {
        now: at(2_000),
        rounds_before: at(0),
        minutes_before: at(0),
        rollups_before: rollups_before(at(0)),
        changes_before: at(0),
        incidents_before: before,
        facts_before: at(0),
        audit_before: at(0),
        highwaters_before: at(0),
    };
    f.store.retain(&retention(at(2))).await.unwrap();
    assert_eq!(f.found(IncidentQuery::default()).await, [2, 1]);
    f.store.retain(&retention(at(1_000))).await.unwrap();
    assert_eq!(f.found(IncidentQuery::default()).await, [2]);
    assert_eq!(f.ask("SELECT count(*) FROM incident_entry").await, [1]);
    assert_eq!(f.ask("SELECT count(*) FROM incident_subject WHERE number = 1").await, [0]);
}
